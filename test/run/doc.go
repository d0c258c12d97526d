// Command run runs the tests and counts them: one line for each package, the whole output of
// what failed, and a closing line "N passed, N failed, N skipped". It splits the packages in two
// groups, so that those that build networks or load the machine do not disturb the others.
package main
