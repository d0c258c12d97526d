// Package tree holds the rules on the source tree itself: who may import whom, where goroutines
// start and the environment is read, what must be documented, how long a file may be. Each rule
// is code that walks the parsed tree, and each has a fixture under testdata that breaks it and
// must be found broken: a rule that never fires protects nothing.
//
// It judges syntax alone. It needs no build and knows no types, so a rule that would need them is
// written to miss a case rather than to accuse an innocent line.
package tree
