package a

const bad = "/home/me/notes"
