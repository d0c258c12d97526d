// Package echo answers the probes of package probe, over UDP and as an HTTP handler for the tcp
// probe, and remembers which senders it heard and what of theirs is missing.
// It does not judge paths: what it heard is the other half of a sender's path, for the server to join.
package echo
