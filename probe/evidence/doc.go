// Package evidence reads what a node can know about itself: its links, addresses and routes, from
// netlink and /proc, in the network namespace of the process. It needs no privilege, runs no other
// program and keeps nothing; it judges nothing either, that is done by comparing nodes.
package evidence
