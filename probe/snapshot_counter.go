package probe

import "fmt"

// Counter names one of the kernel's counters. The numbers travel on the wire: append only.
type Counter uint8

// The counters, with the kernel's name in parentheses where it is another one. Those of IPv4 come
// from /proc/net/snmp and netstat, those of IPv6 from snmp6. All are the namespace's own, but
// those of the machine say so.
const (
	IPInReceives      Counter = iota // packets that came in, all of them
	IPInDelivers                     // of these, handed to a protocol here
	IPForwarded                      // of these, sent on (ForwDatagrams); counted before the FORWARD rules
	IPInHdrErrors                    // bad header, or its time to live ran out
	IPInAddrErrors                   // not for us, and forwarding is off
	IPInUnknownProtos                // delivered to no protocol
	IPInDiscards                     // dropped for want of memory, or by a rule
	IPInNoRoutes                     // (IpExt)
	IPInTruncated                    // (IpExt InTruncatedPkts)
	IPOutRequests                    // packets made here
	IPOutDiscards                    // dropped on the way out, by a rule as well
	IPOutNoRoutes                    // no route to send on
	IPReasmFails
	IPFragOKs
	IPFragFails   // too big, and fragmenting is forbidden
	IPFragCreates // fragments made
	ICMPInErrors
	ICMPInDestUnreachs
	ICMPInTimeExcds
	ICMPInRedirects
	ICMPOutDestUnreachs // as a REJECT rule and a closed port send it
	ICMPOutTimeExcds
	ICMPOutRedirects
	UDPNoPorts // nobody listens there
	UDPInErrors
	UDPRcvbufErrors // a reader was too slow
	UDPSndbufErrors
	UDPInCsumErrors
	TCPActiveOpens
	TCPAttemptFails
	TCPOutSegs
	TCPRetransSegs
	TCPOutRsts
	TCPInCsumErrors
	TCPTimeouts         // (TcpExt)
	TCPSynRetrans       // (TcpExt)
	TCPListenOverflows  // (TcpExt)
	TCPListenDrops      // (TcpExt)
	IPReversePathFilter // (TcpExt) dropped by rp_filter
	ARPFilter           // (TcpExt)
	IP6InReceives       // as for IPv4, and so on
	IP6InDelivers
	IP6Forwarded // (Ip6OutForwDatagrams)
	IP6InHdrErrors
	IP6InTooBigErrors
	IP6InNoRoutes
	IP6InAddrErrors
	IP6InDiscards
	IP6OutDiscards
	IP6OutNoRoutes
	ICMP6InDestUnreachs
	ICMP6OutDestUnreachs
	UDP6NoPorts
	UDP6RcvbufErrors
	ConntrackFound // (/proc/net/stat/nf_conntrack, as the rest of its kind)
	ConntrackInvalid
	ConntrackInsertFailed      // two packets of one flow raced, or no port was left to translate to
	ConntrackDrop              // the table was full
	ConntrackEarlyDrop         // an unassured flow had to make room
	SoftnetProcessed           // of the machine: frames taken from the links' queues
	SoftnetDropped             // of the machine: a CPU's queue was full
	SoftnetSqueezed            // of the machine: a CPU's time for taking frames was up
	NeighborTableFulls         // of the machine (/proc/net/stat/arp_cache table_fulls), first namespace only
	NeighborUnresolvedDiscards // of the machine: waited for a neighbour in vain
)

// Counters is the number of counters.
const Counters = int(NeighborUnresolvedDiscards) + 1

// Count is the state of one counter.
type Count struct {
	// Total counts since the namespace was made, or the machine was started.
	Total uint64
	// Growth counts over Snapshot.Interval; 0 in the first reading. Healthy nodes grow too:
	// compare them.
	Growth uint64
	// Known says that the counter was read.
	Known bool
}

// Growth returns how much a counter grew over Interval.
func (s *Snapshot) Growth(c Counter) uint64 { return s.Counters[c].Growth }

// Rate returns the growth of a counter per second; 0 in the first reading.
func (s *Snapshot) Rate(c Counter) float64 {
	if s.Interval <= 0 {
		return 0
	}
	return float64(s.Counters[c].Growth) / s.Interval.Seconds()
}

// Vanished returns how many IPv4 packets came in over Interval and were neither delivered, nor sent
// on, nor counted as an error: INPUT rules and the reverse path filter drop in this way. The rest
// of a healthy node is small: fragments that wait, and what races the reading.
func (s *Snapshot) Vanished() uint64 {
	c := &s.Counters
	in := c[IPInReceives].Growth
	out := c[IPInDelivers].Growth + c[IPForwarded].Growth + c[IPInHdrErrors].Growth + c[IPInAddrErrors].Growth +
		c[IPInUnknownProtos].Growth + c[IPInDiscards].Growth + c[IPInNoRoutes].Growth + c[IPInTruncated].Growth
	if out >= in {
		return 0
	}
	return in - out
}

// String returns the counter's name as it stands in evidence, for instance "Ip.InAddrErrors".
func (c Counter) String() string {
	if int(c) < len(counterNames) {
		return counterNames[c]
	}
	return fmt.Sprintf("counter(%d)", uint8(c))
}

// counterNames are "group.name" as /proc has them; the readers find their columns by them.
var counterNames = [Counters]string{
	IPInReceives: "Ip.InReceives", IPInDelivers: "Ip.InDelivers", IPForwarded: "Ip.ForwDatagrams", IPInHdrErrors: "Ip.InHdrErrors",
	IPInAddrErrors: "Ip.InAddrErrors", IPInUnknownProtos: "Ip.InUnknownProtos", IPInDiscards: "Ip.InDiscards",
	IPInNoRoutes: "IpExt.InNoRoutes", IPInTruncated: "IpExt.InTruncatedPkts", IPOutRequests: "Ip.OutRequests",
	IPOutDiscards: "Ip.OutDiscards", IPOutNoRoutes: "Ip.OutNoRoutes", IPReasmFails: "Ip.ReasmFails",
	IPFragOKs: "Ip.FragOKs", IPFragFails: "Ip.FragFails", IPFragCreates: "Ip.FragCreates",
	ICMPInErrors: "Icmp.InErrors", ICMPInDestUnreachs: "Icmp.InDestUnreachs", ICMPInTimeExcds: "Icmp.InTimeExcds",
	ICMPInRedirects: "Icmp.InRedirects", ICMPOutDestUnreachs: "Icmp.OutDestUnreachs", ICMPOutTimeExcds: "Icmp.OutTimeExcds",
	ICMPOutRedirects: "Icmp.OutRedirects", UDPNoPorts: "Udp.NoPorts", UDPInErrors: "Udp.InErrors",
	UDPRcvbufErrors: "Udp.RcvbufErrors", UDPSndbufErrors: "Udp.SndbufErrors", UDPInCsumErrors: "Udp.InCsumErrors",
	TCPActiveOpens: "Tcp.ActiveOpens", TCPAttemptFails: "Tcp.AttemptFails", TCPOutSegs: "Tcp.OutSegs", TCPRetransSegs: "Tcp.RetransSegs",
	TCPOutRsts: "Tcp.OutRsts", TCPInCsumErrors: "Tcp.InCsumErrors", TCPTimeouts: "TcpExt.TCPTimeouts", TCPSynRetrans: "TcpExt.TCPSynRetrans",
	TCPListenOverflows: "TcpExt.ListenOverflows", TCPListenDrops: "TcpExt.ListenDrops", IPReversePathFilter: "TcpExt.IPReversePathFilter",
	ARPFilter: "TcpExt.ArpFilter", IP6InReceives: "Ip6.InReceives", IP6InDelivers: "Ip6.InDelivers", IP6Forwarded: "Ip6.OutForwDatagrams",
	IP6InHdrErrors: "Ip6.InHdrErrors", IP6InTooBigErrors: "Ip6.InTooBigErrors", IP6InNoRoutes: "Ip6.InNoRoutes",
	IP6InAddrErrors: "Ip6.InAddrErrors", IP6InDiscards: "Ip6.InDiscards", IP6OutDiscards: "Ip6.OutDiscards", IP6OutNoRoutes: "Ip6.OutNoRoutes",
	ICMP6InDestUnreachs: "Icmp6.InDestUnreachs", ICMP6OutDestUnreachs: "Icmp6.OutDestUnreachs", UDP6NoPorts: "Udp6.NoPorts",
	UDP6RcvbufErrors: "Udp6.RcvbufErrors", ConntrackFound: "conntrack.found", ConntrackInvalid: "conntrack.invalid",
	ConntrackInsertFailed: "conntrack.insert_failed", ConntrackDrop: "conntrack.drop", ConntrackEarlyDrop: "conntrack.early_drop",
	SoftnetProcessed: "softnet.processed", SoftnetDropped: "softnet.dropped", SoftnetSqueezed: "softnet.time_squeeze",
	NeighborTableFulls: "arp_cache.table_fulls", NeighborUnresolvedDiscards: "arp_cache.unresolved_discards",
}
