package gossip

import (
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"netchecker/mesh"
)

type eventKind uint8

const (
	eventAlive eventKind = iota
	eventDown
	eventConflict
	eventDigest
	eventHint
	eventGone
	eventBack
	eventHeard
)

// event is one piece of news for the owner of the registry; which fields are set depends on kind.
type event struct {
	kind   eventKind
	name   string
	meta   []byte // shared with memberlist, which replaces metas and never writes into them
	addr   netip.AddrPort
	digest uint64
	agents []mesh.Agent
	nodes  []string
	names  []string
}

// inbox takes news from memberlist's callbacks. They run under memberlist's own lock, in its
// receive loop: putting an event here is all they do, so no reader of the roster can stall gossip.
type inbox struct {
	mu   sync.Mutex
	list []event
	wake chan struct{} // of length 1
}

func (b *inbox) put(e event) {
	b.mu.Lock()
	b.list = append(b.list, e)
	b.mu.Unlock()
	poke(b.wake)
}

func (b *inbox) take() []event {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.list
	b.list = nil
	return list
}

// poke leaves a token in a channel of length 1 unless there is one.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// delegate is the face that memberlist sees. There is no AliveDelegate: refusing a member whose
// meta we cannot read would take it out of the gossip, and a rolling update to a new meta would
// tear the mesh in two. It stays a member, only not an agent of the roster.
type delegate struct{ g *Gossip }

var (
	_ memberlist.Delegate         = delegate{}
	_ memberlist.EventDelegate    = delegate{}
	_ memberlist.ConflictDelegate = delegate{}
	_ memberlist.PingDelegate     = delegate{}
)

func (d delegate) NodeMeta(int) []byte                  { return d.g.meta() }
func (d delegate) NotifyMsg([]byte)                     {}
func (d delegate) GetBroadcasts(int, int) [][]byte      { return nil }
func (d delegate) LocalState(bool) []byte               { return nil }
func (d delegate) MergeRemoteState([]byte, bool)        {}
func (d delegate) NotifyJoin(n *memberlist.Node)        { d.g.box.put(nodeEvent(eventAlive, n)) }
func (d delegate) NotifyUpdate(n *memberlist.Node)      { d.g.box.put(nodeEvent(eventAlive, n)) }
func (d delegate) NotifyLeave(n *memberlist.Node)       { d.g.box.put(nodeEvent(eventDown, n)) }
func (d delegate) NotifyConflict(_, n *memberlist.Node) { d.g.box.put(nodeEvent(eventConflict, n)) }

// AckPayload is what we answer to a ping.
func (d delegate) AckPayload() []byte { return appendDigest(nil, d.g.digest.Load()) }

// NotifyPingComplete takes the answer to our own.
func (d delegate) NotifyPingComplete(n *memberlist.Node, _ time.Duration, payload []byte) {
	if digest, ok := parseDigest(payload); ok {
		e := nodeEvent(eventDigest, n)
		e.digest = digest
		d.g.box.put(e)
	}
}

func nodeEvent(kind eventKind, n *memberlist.Node) event {
	addr, _ := netip.AddrFromSlice(n.Addr)
	return event{kind: kind, name: n.Name, meta: n.Meta, addr: netip.AddrPortFrom(addr.Unmap(), n.Port)}
}
