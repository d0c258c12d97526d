package sim

import (
	"fmt"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// Place is where an agent lives. It outlives the agent: a successor lives in the same place.
type Place struct {
	Node    int
	Network mesh.Network
	Zone    int
}

// String returns the place as "node07/pod".
func (p Place) String() string { return nodeName(p.Node) + "/" + p.Network.String() }

// Key is the mesh's name of the place.
func (p Place) Key() mesh.Key { return mesh.Key{Node: nodeName(p.Node), Network: p.Network} }

func nodeName(i int) string { return fmt.Sprintf("node%02d", i) }

// serverPlace is where the server lives: on the host network of a node of its own.
var serverPlace = Place{Node: 99_999, Network: mesh.Host}

// Packet is one packet on its way, as a Fault sees it. Source and Destination are the ends of the
// path that is probed; a reply travels from the destination to the source.
type Packet struct {
	Source, Destination Place
	Reply               bool
	Kind                probe.Kind
	Family              mesh.Family
	// Flow is the source port: udp and mtu keep theirs for minutes, tcp has a new one every time.
	Flow int
	// Size is that of the IP packet in bytes; of tcp that of the largest segment.
	Size int
	// Open marks the handshake of a tcp probe.
	Open bool
	// Row marks a report on its way to the server or to a relay, which is a tcp exchange too.
	Row bool
}

// From is the place that sends the packet.
func (p *Packet) From() Place {
	if p.Reply {
		return p.Destination
	}
	return p.Source
}

// To is the place that the packet goes to.
func (p *Packet) To() Place {
	if p.Reply {
		return p.Source
	}
	return p.Destination
}

// Verdict is what becomes of a packet.
type Verdict struct {
	Drop bool
	// Code is, with Drop, the error that the sender gets instead of silence.
	Code probe.Code
	// NextHop is the MTU that comes with probe.CodeTooBig.
	NextHop uint16
	// Delay is added to the way's own.
	Delay time.Duration
}

// Fault decides what becomes of each packet.
type Fault func(p *Packet) Verdict

// The way's own delay, one direction.
const (
	delayNode  = 30 * time.Microsecond
	delayZone  = 100 * time.Microsecond
	delayZones = 400 * time.Microsecond
)

func wayDelay(a, b Place) time.Duration {
	switch {
	case a.Node == b.Node:
		return delayNode
	case a.Zone == b.Zone:
		return delayZone
	}
	return delayZones
}
