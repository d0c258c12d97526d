package main

var version = "unknown"

var verbose bool

func main() { verbose = version != "" }
