// Package mesh holds the nouns and the arithmetic of the network checker: agents and the roster
// of those that should exist, paths, cells, the row one agent says, and the matrix of all rows.
// It does no I/O, starts no goroutine and reads no clock: time is always an argument.
package mesh
