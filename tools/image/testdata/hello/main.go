// Command hello is what the tests pack.
package main

func main() { println("hello") }
