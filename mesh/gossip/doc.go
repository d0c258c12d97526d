// Package gossip finds the agents and servers of the mesh and keeps a roster of those that should
// exist: memberlist in, mesh.Roster out. It keeps working while DNS and the API server are down.
//
// It never judges a path: gossip reaches a member by detours that hide a broken pair, so a dead
// member stays in the roster and is probed on. It reads no Kubernetes objects; what Kubernetes
// says of nodes reaches it through Hint and Gone.
//
// # How it converges
//
// News travels in packets of at most 1,200 bytes, 3 every 200 ms. What a member misses is repaired
// by digest: every answer to a ping (one each 5 s) carries 64 bits over all live members, and who
// hears another digest twice asks that peer for its whole list. So the full exchange that memberlist
// does by the clock, megabytes at 10,000 members, can be rare.
//
// Memberlist forgets its dead and does not heal a partition. The joiner tries the dead of the
// roster and the seeds for ever. One exchange does not heal: both sides still hold each other dead
// by the same incarnation, and only learn to refute it; the second one, a second later, does.
package gossip
