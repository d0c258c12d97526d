package evidence

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"netchecker/probe"
)

// The attributes and flags of policy rules, from linux/fib_rules.h.
const (
	ruleHeadSize = 12
	fraDst       = 1
	fraSrc       = 2
	fraIIF       = 3
	fraPriority  = 6
	fraFwMark    = 10
	fraTable     = 15
	fraFwMask    = 16
	fraOIF       = 17
	ruleInvert   = 2
)

// readRules reads the policy rules of both families. A rule for another pod's address is left out:
// some networks have one for each.
func readRules(stop time.Time, w *wanted) (kept []probe.Rule, cut int, err error) {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		var own []probe.Rule
		var ownCut int
		request := make([]byte, ruleHeadSize)
		request[0] = family
		e := dump(stop, unix.RTM_GETRULE, request, func() { own, ownCut = own[:0], 0 }, func(b []byte) {
			if len(b) < ruleHeadSize || b[0] != family {
				return
			}
			r := parseRule(b)
			if len(kept)+len(own) == MaxRules || r.From.IsValid() && !w.covers(r.From) || r.To.IsValid() && !w.covers(r.To) {
				ownCut++
				return
			}
			own = append(own, r)
		})
		kept, cut, err = append(kept, own...), cut+ownCut, cmp.Or(err, e)
	}
	slices.SortStableFunc(kept, func(a, b probe.Rule) int { return cmp.Compare(a.Priority, b.Priority) })
	return kept, cut, err
}

func parseRule(b []byte) probe.Rule {
	r := probe.Rule{IPv6: b[0] == unix.AF_INET6, Table: uint32(b[4]), Action: probe.RuleAction(b[7]), Not: number32(b[8:])&ruleInvert != 0}
	for kind, value := range attributes(b[ruleHeadSize:]) {
		switch kind {
		case fraDst:
			r.To = netip.PrefixFrom(address(value), int(b[1]))
		case fraSrc:
			r.From = netip.PrefixFrom(address(value), int(b[2]))
		case fraIIF:
			r.IIF = text(value)
		case fraOIF:
			r.OIF = text(value)
		case fraPriority:
			r.Priority = number32(value)
		case fraFwMark:
			r.Mark = number32(value)
		case fraFwMask:
			r.Mask = number32(value)
		case fraTable:
			r.Table = number32(value)
		}
	}
	if r.Mark == 0 && r.Mask == 0xffffffff {
		r.Mask = 0 // the kernel's way to say: no mark is looked at
	}
	return r
}
