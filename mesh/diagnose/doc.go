// Package diagnose turns a view of the matrix, and what nodes read about themselves, into findings:
// what is broken, where, why, and what to check. It is pure: it does no I/O, starts no goroutine
// and reads no clock. What it remembers between two rounds is in a Tracker, so that a finding
// keeps its identity while it lasts and appears only once the matrix has settled.
//
// The method, in the order of the files: picture gates what may not be believed and counts bad
// paths by node and kind; locate finds the smallest set of suspects that covers them (cluster,
// groups, nodes, pairs) and that healthy paths do not contradict; signatures say which part of a
// suspect is broken by which kinds of path fail; evidence asks what the suspect's own readings
// have that those of healthy nodes have not; words says it in a sentence. Where the evidence does
// not decide, the cause stays empty.
package diagnose
