package echo

import (
	"net/netip"
	"sync"
	"time"

	"netchecker/probe"
)

// Responder decides what to answer and remembers who asked. It does no I/O and starts no goroutine,
// so a simulation can have hundreds; every method may be called from any goroutine.
type Responder struct {
	cfg     Config
	changed chan struct{}

	mu      sync.Mutex // guards everything below
	senders table
	sources sourceLimit
	total   limit
	notices sourceLimit
	replays limit
	stats   Stats
}

const (
	// noticesPerSource limits how often one source address is told that its key is unknown, per second.
	noticesPerSource = 2
	// replaysAnswered limits answers to repeated requests, per second in all: the network duplicates a packet now and then.
	replaysAnswered = 1
)

// NewResponder returns a Responder; the fields of cfg that are about sockets do not matter to it.
func NewResponder(cfg Config) *Responder {
	cfg.fill()
	return &Responder{
		cfg: cfg, changed: make(chan struct{}, 1),
		senders: newTable(cfg.Senders),
		sources: newSourceLimit(cfg.PerSource, cfg.PerSource),
		total:   newLimit(cfg.Total, cfg.Total/2),
		notices: newSourceLimit(noticesPerSource, 4),
		replays: newLimit(replaysAnswered, 1),
	}
}

// Answer decides on the request packet that came from an address at now. It writes the reply to
// reply, which must hold probe.PacketSize bytes, and reports whether to send it; Seal must follow
// when everything else is done. The reply is never longer than the request.
func (r *Responder) Answer(reply, packet []byte, from netip.AddrPort, now probe.Instant) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var p probe.Packet
	if p.Decode(packet) != nil || p.Type != probe.TypeRequest || p.Kind == probe.ICMP {
		r.stats.Bad++
		return false
	}
	addr := from.Addr().Unmap()
	held, right := r.cfg.Keys.Check(packet)
	switch {
	case !held && r.notices.take(addr, now.Mono):
		r.stats.Notices++
		p.Type = probe.TypeNotice
		r.sign(&p)
		p.Encode(reply)
		return true
	case !right:
		r.stats.Bad++
		return false
	case !r.sources.take(addr, now.Mono) || !r.total.take(now.Mono):
		r.stats.Limited++
		return false
	}
	asked := p.Responder
	forUs := asked == r.cfg.Self || asked == 0 || r.cfg.Any
	p.Type, p.Received, p.Highest = probe.TypeReply, 0, 0
	// A request meant for another identity is answered, since that is how its sender learns of an
	// address conflict. It belongs to another sequence than the one that we count.
	if forUs && !r.enter(&p, addr, now.Mono) {
		return false
	}
	r.sign(&p)
	if r.cfg.Any {
		p.Responder = asked
	}
	p.Encode(reply)
	r.stats.Answered++
	return true
}

// enter counts a request that is meant for us and puts what we heard of its sender into it; false when it must not be answered.
func (r *Responder) enter(p *probe.Packet, addr netip.Addr, now time.Duration) bool {
	key := senderKey{p.Sender, addr.Is6()}
	if r.cfg.Any {
		key.id ^= p.Responder
	}
	s := r.senders.get(key, now)
	switch s.enter(p, now) {
	case entryReplay:
		r.stats.Replayed++
		if !r.replays.take(now) {
			return false
		}
	case entryOther:
		return true
	default:
		if s.judge(p.Kind, now) {
			r.signal()
		}
	}
	udp := &s.streams[probe.UDP]
	p.Received, p.Highest = udp.bits, udp.highest
	return true
}

func (r *Responder) sign(p *probe.Packet) {
	p.Responder, p.ResponderBoot, p.Hold = r.cfg.Self, r.cfg.Boot, 0
}

// Seal writes into a reply how long the packet was held, and tags it under the key of its request.
func (r *Responder) Seal(reply []byte, hold time.Duration) {
	putHold(reply, hold)
	if !r.cfg.Keys.SealAs(reply) { // a notice, or the key was withdrawn this moment
		r.cfg.Keys.Seal(reply)
	}
}

// Respond is Answer and Seal in one, for a caller that has no use for the hold time; nil means no answer.
func (r *Responder) Respond(packet []byte, from netip.AddrPort, now probe.Instant) []byte {
	reply := make([]byte, probe.PacketSize)
	if !r.Answer(reply, packet, from, now) {
		return nil
	}
	r.Seal(reply, 0)
	return reply
}

// Heard appends what was heard of every sender to dst, most recent first.
func (r *Responder) Heard(dst []probe.Heard) []probe.Heard {
	now := r.cfg.Clock().Mono
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := r.senders.first; s != nil; s = s.next {
		dst = append(dst, s.heard(now))
	}
	return dst
}

// Changed signals that a sender fell silent for two of its intervals, came back, or became lossy or
// clean. It holds one signal at most.
func (r *Responder) Changed() <-chan struct{} { return r.changed }

// Stats returns the counters.
func (r *Responder) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}

// sweepEvery is how often silence is looked for.
const sweepEvery = 250 * time.Millisecond

// Sweep looks for senders that fell silent. Run calls it; a simulation does so itself.
func (r *Responder) Sweep() {
	now := r.cfg.Clock().Mono
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := r.senders.first; s != nil; s = s.next {
		for _, k := range probe.AllKinds() {
			if s.judge(k, now) {
				r.signal()
			}
		}
	}
}

func (r *Responder) signal() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func (r *Responder) countDrops(n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Dropped += n
}
