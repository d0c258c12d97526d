// Package history remembers what happened: when which path changed its state, which agents reported,
// and what diagnosis found. It compares each view of the matrix with the one before, encodes the
// differences and keeps them in a Log, the oldest of which make room for the newest. Out of that it
// answers for any moment in between. It opens no file and starts no goroutine: cmd/server calls
// Record once a second, and api/store has the Logs.
//
// What is kept falls into chapters. A chapter begins with a snapshot, all that was not ok at a
// moment, and goes on with blocks of changes, so that each can be read without those before it and
// whole chapters can be dropped.
package history
