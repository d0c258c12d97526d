package evidence

import (
	"context"
	"errors"
	"fmt"
	"time"

	"netchecker/probe"
)

// Budget is the most that a reading takes. What does not fit is said in Missing.
const Budget = 500 * time.Millisecond

// partBudget is the most of it that one table takes, so that a huge one leaves time for the rest.
const partBudget = 150 * time.Millisecond

// Read reads the network namespace of the process once, without any privilege. What could not be
// read is in Missing; the error is for a reading that has not even links and counters. Growths are
// 0: only a Reader knows what was before.
func Read(ctx context.Context, i Interest) (*probe.Snapshot, error) {
	s, err := read(ctx, i, false)
	if err == nil {
		forgetTotals(s)
	}
	return s, err
}

func read(ctx context.Context, i Interest, privileged bool) (*probe.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	began := time.Now()
	r := &reading{stop: began.Add(Budget), wanted: want(i)}
	if d, ok := ctx.Deadline(); ok && d.Before(r.stop) {
		r.stop = d
	}
	r.tables()
	r.files()
	if privileged {
		r.firewall()
	}
	s := &r.Snapshot
	s.LeftOut.Lookups += r.wanted.cut
	s.At = time.Now().UTC()
	s.Took = time.Since(began)
	if len(s.Links) == 0 && !s.Counters[probe.IPInReceives].Known {
		return nil, fmt.Errorf("read the node's network: %w", errors.Join(r.errs...))
	}
	return s, nil
}

// reading is a snapshot in the making.
type reading struct {
	probe.Snapshot
	stop   time.Time
	wanted *wanted
	errs   []error
}

// part is the time by which the next part must be done.
func (r *reading) part() time.Time {
	if limit := time.Now().Add(partBudget); limit.Before(r.stop) {
		return limit
	}
	return r.stop
}

func (r *reading) missing(part string, err error) {
	if err == nil {
		return
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errTime
	}
	r.errs = append(r.errs, fmt.Errorf("%s: %w", part, err))
	r.Missing = append(r.Missing, probe.Missing{Part: part, Why: err.Error()})
}

// tables reads what netlink tells. Each step needs those before it.
func (r *reading) tables() {
	links, cut, err := readLinks(r.part())
	r.missing("links", err)
	r.LeftOut.Links += cut

	r.LeftOut.Addrs, err = readAddrs(r.part(), links)
	r.missing("addresses", err)
	r.Rules, r.LeftOut.Rules, err = readRules(r.part(), r.wanted)
	r.missing("rules", err)
	r.Lookups, err = readLookups(r.part(), r.wanted, links, r.Rules)
	r.missing("lookups", err)
	r.Routes, r.LeftOut.Routes, err = readRoutes(r.part(), r.wanted, links)
	r.missing("routes", err)

	fdb, cut, err := readFDB(r.part(), links)
	r.missing("fdb", err)
	r.LeftOut.FDB += cut
	ways := nextHops(r.Routes, r.Lookups, fdb)
	r.Neighbors, r.NeighborTable, r.LeftOut.Neighbors, err = readNeighbors(r.part(), r.wanted, ways, links)
	r.missing("neighbors", err)
	r.FDB, cut = keepFDB(fdb, r.wanted, r.Neighbors, links)
	r.LeftOut.FDB += cut

	r.Links, cut = keepLinks(links)
	r.LeftOut.Links += cut
	r.missing("offload", readOffloads(r.part(), r.Links))
}

// files reads what /proc tells.
func (r *reading) files() {
	var err error
	r.Counters, err = readCounters(r.part())
	r.missing("counters", err)
	r.Sysctls, err = readSysctls(r.part(), r.Links)
	r.missing("sysctls", err)
	r.Listeners, err = readListeners(r.part(), r.wanted.ports)
	r.missing("listeners", err)
}
