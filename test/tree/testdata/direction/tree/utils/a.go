package utils // bad: no such room
