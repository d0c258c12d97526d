package gossip

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	lookupTimeout = 5 * time.Second
	lookupSlow    = time.Minute // between look-ups once we know somebody
	// lookupMembers stretches that: 10,000 members ask their DNS 33 times a second in all.
	lookupMembers = 30 * time.Millisecond
)

// seed is one entry of Config.Seeds. The joiner's mutex guards it.
type seed struct {
	host  string // "" when it is an address
	port  uint16
	addrs []netip.AddrPort
	next  time.Time // of the next look-up
	busy  bool
}

// parseSeed takes host:port, [v6]:port, a bare address or a bare name.
func parseSeed(text string) (*seed, error) {
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return &seed{addrs: []netip.AddrPort{netip.AddrPortFrom(addr.Unmap(), DefaultPort)}}, nil
	}
	host, port := text, uint64(DefaultPort)
	if strings.Contains(text, ":") {
		h, p, err := net.SplitHostPort(text)
		if err != nil {
			return nil, fmt.Errorf("seed %q: want host:port: %w", text, err)
		}
		if port, err = strconv.ParseUint(p, 10, 16); err != nil || port == 0 {
			return nil, fmt.Errorf("seed %q: port %q: want 1 to 65535", text, p)
		}
		host = h
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return &seed{addrs: []netip.AddrPort{netip.AddrPortFrom(addr.Unmap(), uint16(port))}}, nil
	}
	if host == "" || strings.ContainsAny(host, "/ \t") {
		return nil, fmt.Errorf("seed %q: want host:port", text)
	}
	return &seed{host: host, port: uint16(port)}, nil
}

// resolveDue starts the look-ups that are due. The caller holds j.mu.
func (j *joiner) resolveDue(ctx context.Context, lonely bool, alive int, now time.Time) {
	for _, s := range j.seeds {
		if s.host == "" || s.busy {
			continue
		}
		if lonely { // do not wait for the minute that was right when we had company
			s.next = minTime(s.next, now.Add(joinLonely))
		}
		if now.Before(s.next) {
			continue
		}
		j.spawn(ctx, func() { j.resolve(ctx, s, lonely, alive) }, func() { s.busy = true })
	}
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// resolve looks one seed up and keeps the last answer when there is none: DNS may be what broke.
func (j *joiner) resolve(ctx context.Context, s *seed, lonely bool, alive int) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := j.resolver.LookupNetIP(ctx, "ip", s.host)
	j.mu.Lock()
	defer j.mu.Unlock()
	now := time.Now()
	s.busy = false
	if err == nil && len(found) > 0 {
		s.addrs = j.usable(found, s.port)
		if lonely {
			poke(j.wake)
		}
	} else {
		j.stats.lookupsFailed.Add(1)
	}
	switch {
	case lonely && now.Sub(j.since) < lonelyEager:
		s.next = now.Add(pause(1, joinFirst))
	case lonely:
		s.next = now.Add(pause(3, joinLonely))
	default:
		slow := max(lookupSlow, time.Duration(alive)*lookupMembers)
		s.next = now.Add(slow/2 + rand.N(slow))
	}
}

// usable keeps the addresses of our own family, all of them if there are none: a member of both
// families gossips over one, and the other address would look like somebody not yet joined.
func (j *joiner) usable(found []netip.Addr, port uint16) []netip.AddrPort {
	var own, all []netip.AddrPort
	for _, addr := range found {
		addr = addr.Unmap()
		all = append(all, netip.AddrPortFrom(addr, port))
		if addr.Is4() == j.self.Addr().Is4() {
			own = append(own, netip.AddrPortFrom(addr, port))
		}
	}
	if len(own) > 0 {
		return own
	}
	return all
}
