package sim

import (
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// sender is the part of an agent that sends its rows; it follows what a real agent does.
type sender struct {
	next, last time.Duration
	sequence   uint64
	statuses   []probe.PathStatus
	heard      []probe.Heard
	buf        []byte
	knows      mesh.TableHash // the table that the server has seen
	relay      *Agent         // who relayed last; nil while the direct way works
	directAt   time.Duration  // when the direct way is tried again
}

const (
	debounce = 200 * time.Millisecond
	// rowTimeout is how long a delivery that nobody answers holds up the next.
	rowTimeout = 4 * time.Second
	// hedgeAfter is how long the direct way may be silent before peers are asked.
	hedgeAfter = 500 * time.Millisecond
	// retryDirect is how often a broken direct way is tried.
	retryDirect = 5 * time.Second
	// maxRelays is how many peers are asked.
	maxRelays = 6
)

func rowInterval(nodes int) time.Duration {
	return min(max(time.Second, time.Duration(nodes)*time.Second/20), 15*time.Second)
}

// sendRows sends a row when one is due.
func (a *Agent) sendRows() {
	c, s := a.cluster, &a.rows
	interval := rowInterval(a.plan.nodes)
	changed := signalled(a.engine.Changed())
	if signalled(a.echo.Changed()) || changed {
		s.next = min(s.next, max(c.now+debounce, s.last+interval/5))
	}
	if c.now < s.next {
		return
	}
	s.last = c.now
	s.next = c.now + max(interval, a.deliver(a.row(false)))
}

func signalled(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// row says what is known now.
func (a *Agent) row(leaving bool) *mesh.Row {
	p, s := a.plan, &a.rows
	row := mesh.NewRow(a.self, p.table)
	s.sequence++
	row.Sequence, row.Interval, row.Leaving = s.sequence, rowInterval(p.nodes), leaving
	row.Doubt = a.engine.Doubt()
	s.statuses = a.engine.Snapshot(s.statuses[:0])
	for i := range s.statuses {
		st := &s.statuses[i]
		if col, known := p.columns[columnKey{st.Target.ID, familyOf(st.Target.Addr.Addr())}]; known {
			row.Set(col, &st.Probes)
		}
	}
	s.heard = a.echo.Heard(s.heard[:0])
	for i := range s.heard {
		family := mesh.IPv4
		if s.heard[i].IPv6 {
			family = mesh.IPv6
		}
		if col, known := p.columns[columnKey{s.heard[i].Sender, family}]; known {
			row.SetHeard(col, &s.heard[i])
		}
	}
	row.Seal()
	return row
}

// deliver sends the row to the server, directly or through a peer, and returns how long that takes
// the agent.
func (a *Agent) deliver(row *mesh.Row) time.Duration {
	c, s := a.cluster, &a.rows
	wait := time.Duration(0)
	if c.now >= s.directAt {
		if c.exchange(a.Place, serverPlace) {
			s.relay = nil
			a.post(row, "", 0)
			return 0
		}
		wait = hedgeAfter
		s.directAt = c.now + retryDirect
	}
	for _, peer := range a.relays() {
		if peer.pausedUntil <= c.now && c.exchange(a.Place, peer.Place) && c.exchange(peer.Place, serverPlace) {
			s.relay = peer
			a.post(row, peer.Key().String(), wait)
			return wait
		}
	}
	s.relay = nil
	c.rows.Undelivered++
	return rowTimeout
}

// exchange reports whether a small tcp exchange from one place to another succeeds.
func (c *Cluster) exchange(from, to Place) bool {
	p := Packet{Source: from, Destination: to, Kind: probe.TCP, Size: 1200, Flow: 1 << 30, Row: true}
	if c.judge(&p).Drop {
		return false
	}
	p.Reply = true
	return !c.judge(&p).Drop
}

// relays are the peers to ask: the one that relayed last, then those that answer our probes, host
// network of other nodes first.
func (a *Agent) relays() (out []*Agent) {
	byKey := map[uint64]*Agent{}
	for _, b := range a.cluster.agents {
		byKey[b.self.ID()] = b
	}
	if a.rows.relay != nil {
		out = append(out, a.rows.relay)
	}
	var rest [4][]*Agent
	for i := range a.rows.statuses {
		st := &a.rows.statuses[i]
		peer := byKey[st.Target.ID]
		if peer == nil {
			continue
		}
		rank := 0
		if st.Probes[probe.TCP].State != probe.OK || st.Probes[probe.UDP].State != probe.OK {
			rank = 2
		}
		if peer.Network != mesh.Host || peer.Node == a.Node {
			rank++
		}
		rest[rank] = append(rest[rank], peer)
	}
	for _, list := range rest {
		a.cluster.random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		out = append(out, list...)
	}
	return out[:min(len(out), maxRelays)]
}

// post encodes the row and hands it to the server after a delay, with its table where the server does not know that.
func (a *Agent) post(row *mesh.Row, via string, delay time.Duration) {
	c, s := a.cluster, &a.rows
	withTable := s.knows != row.Table.Hash()
	s.buf = c.codec.Encode(s.buf[:0], row, withTable)
	body := append([]byte(nil), s.buf...)
	c.rows.count(body, row.Table.Len(), withTable)
	s.knows = row.Table.Hash()
	c.at(c.now+delay+wayDelay(a.Place, serverPlace), func() {
		if c.server.take(body, via) {
			return
		}
		full := c.codec.Encode(nil, row, true)
		c.rows.count(full, row.Table.Len(), true)
		if !c.server.take(full, via) {
			panic("sim: the server refuses a row with its table")
		}
	})
}
