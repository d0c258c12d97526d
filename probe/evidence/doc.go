// Package evidence reads what a node can know about itself: links, addresses, routes and rules of
// all tables, neighbours, forwarding entries, counters, settings and listeners, from netlink and
// /proc, in the network namespace of the process. It needs no privilege (the packet filter alone
// needs NET_ADMIN, and is read only when asked for) and runs no other program. A reading is bounded
// in time and size, whatever is on the node; what it could not read it says. A Reader remembers
// counters, to tell their growth. Nothing here judges: that is done by comparing nodes.
package evidence
