package gossip

import "sync/atomic"

// Stats is what gossip did since the start, but for the first three, which are as of now.
type Stats struct {
	// Members is how many live members there are, with ourselves and the unread.
	Members int
	// Unread is how many live members are left out of the roster since their data cannot be read.
	Unread int
	// Health is memberlist's doubt in ourselves: 0 is healthy, 3 the worst.
	Health int

	// BadMeta counts data of members that could not be read, BadHints such agents of hints.
	BadMeta, BadHints uint64
	// Conflicts counts news of a name with a second address.
	Conflicts uint64
	// Joins counts attempts at the dead and the seeds, JoinsFailed those that failed.
	Joins, JoinsFailed uint64
	// LookupsFailed counts look-ups of seeds without an answer.
	LookupsFailed uint64
	// Repairs counts exchanges of whole lists because of a differing digest.
	Repairs uint64
	// KeyReloads counts changes of the keyring, KeyErrors readings of the file that failed.
	KeyReloads, KeyErrors uint64

	// PacketsSent and the next three count UDP, headers not included.
	PacketsSent, PacketsReceived uint64
	BytesSent, BytesReceived     uint64
	// Streams counts TCP connections made or taken; the bytes are what went over them.
	Streams                              uint64
	StreamBytesSent, StreamBytesReceived uint64
}

type counters struct {
	badMeta, badHints, conflicts                  atomic.Uint64
	joins, joinsFailed, lookupsFailed, repairs    atomic.Uint64
	keyReloads, keyErrors                         atomic.Uint64
	packetsSent, packetsReceived                  atomic.Uint64
	bytesSent, bytesReceived                      atomic.Uint64
	streams, streamBytesSent, streamBytesReceived atomic.Uint64
}

// Stats returns the counters. Any goroutine may call it at any time.
func (g *Gossip) Stats() Stats {
	c := g.contacts.Load()
	n := &g.stats
	return Stats{
		Members: c.members, Unread: c.unread, Health: g.list.GetHealthScore(),
		BadMeta: n.badMeta.Load(), BadHints: n.badHints.Load(), Conflicts: n.conflicts.Load(),
		Joins: n.joins.Load(), JoinsFailed: n.joinsFailed.Load(),
		LookupsFailed: n.lookupsFailed.Load(), Repairs: n.repairs.Load(),
		KeyReloads: n.keyReloads.Load(), KeyErrors: n.keyErrors.Load(),
		PacketsSent: n.packetsSent.Load(), PacketsReceived: n.packetsReceived.Load(),
		BytesSent: n.bytesSent.Load(), BytesReceived: n.bytesReceived.Load(),
		Streams: n.streams.Load(), StreamBytesSent: n.streamBytesSent.Load(),
		StreamBytesReceived: n.streamBytesReceived.Load(),
	}
}
