// Package store keeps the last report of each agent: in memory alone, or in memory with a bolt file
// behind it, so that the reports come back after a restart.
//
// A store does not decide whose report is kept or for how long: the HTTP face does. Reads come from
// memory and never wait for a disk; what keeps the disk from keeping, Err says.
package store
