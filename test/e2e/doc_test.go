// Package e2e runs the whole system, the programs as they ship, in the lab: it breaks the network
// by its real mechanisms and reads in the matrix which paths the server says are broken.
package e2e
