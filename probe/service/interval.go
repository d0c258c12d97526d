package service

import "time"

const (
	// DefaultInterval is how often a service is probed when nobody says otherwise.
	DefaultInterval = 2 * time.Second
	// maxRate is how many regular probes a second all agents together send to one target, at most.
	maxRate = 400
	// agentsPerNode is how many agents probe: one in each network.
	agentsPerNode = 2
)

// IntervalFor is how often each agent of a mesh of n nodes probes a service: DefaultInterval, doubled
// until all agents together send at most 400 probes a second to one target:
//
//	        nodes   interval   probes a second to one target
//	    up to 400        2 s   100 from 100 nodes, 400 from 400
//	  401 to  800        4 s   400 from 800
//	1,601 to 3,200      16 s   400 from 3,200
//	3,201 to 6,400      32 s   312 from 5,000
//
// A DNS server is up to four targets, by UDP and TCP and by its own address and, shared with its
// replicas, the Service's: at most 1,600 questions a second in a mesh of any size, of which a CoreDNS
// answers tens of thousands a second on one core.
//
// That is the regular beat. Doubts and alarms add at most maxExtra probes to each: whatever goes wrong, and
// for however long, a target gets at most six times as many in an interval, 2,400 a second on average, and a
// DNS server of four targets 9,600. What stays slow or down gets the regular ones; where a tenth of all packets
// is lost it is two to three times as many.
//
// The interval is doubled, and not stretched evenly, so that a roster which grows node by node does not shift
// the beats all the time.
func IntervalFor(nodes int) time.Duration {
	d := DefaultInterval
	for ; time.Duration(nodes*agentsPerNode)*time.Second > maxRate*d; d *= 2 {
	}
	return d
}
