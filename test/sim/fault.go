package sim

import (
	"math/rand/v2"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

func drop(when bool) Verdict { return Verdict{Drop: when} }

// DeafNode drops what comes to a node from others; what it sends arrives.
func DeafNode(node int) Fault {
	return func(p *Packet) Verdict { return drop(p.To().Node == node && p.From().Node != node) }
}

// MuteNode drops what a node sends to others.
func MuteNode(node int) Fault {
	return func(p *Packet) Verdict { return drop(p.From().Node == node && p.To().Node != node) }
}

// CutNode drops all between a node and the others.
func CutNode(node int) Fault {
	return func(p *Packet) Verdict { return drop((p.From().Node == node) != (p.To().Node == node)) }
}

// OneWayCut drops what goes from one node to another, not what comes back.
func OneWayCut(from, to int) Fault {
	return func(p *Packet) Verdict { return drop(p.From().Node == from && p.To().Node == to) }
}

// ZoneSplit drops all between a zone and the others. The server is in zone 0.
func ZoneSplit(zone int) Fault {
	return func(p *Packet) Verdict { return drop((p.From().Zone == zone) != (p.To().Zone == zone)) }
}

// PodNetworkDown drops what travels over the virtual network between a node and others: all that is
// addressed to a pod, and its answers. A pod's way to a foreign host is masqueraded and spared.
func PodNetworkDown(node int) Fault {
	return func(p *Packet) Verdict {
		return drop(p.Destination.Network == mesh.Pod && (p.Source.Node == node) != (p.Destination.Node == node))
	}
}

// MTUBlackHole drops in silence what is larger than mtu on its way to a node.
func MTUBlackHole(node, mtu int) Fault {
	return func(p *Packet) Verdict { return drop(p.To().Node == node && p.From().Node != node && p.Size > mtu) }
}

// MTUMismatch refuses what is larger than mtu on its way to a node, and names the MTU.
func MTUMismatch(node int, mtu uint16) Fault {
	return func(p *Packet) Verdict {
		v := drop(p.To().Node == node && p.From().Node != node && p.Size > int(mtu))
		if v.Drop && p.Kind == probe.MTU { // tcp obeys the refusal and sends less
			v.Code, v.NextHop = probe.CodeTooBig, mtu
			return v
		}
		return Verdict{}
	}
}

// Loss drops a share of what goes to a node from others.
func Loss(node int, share float64, seed uint64) Fault {
	random := rand.New(rand.NewPCG(seed, 1))
	return func(p *Packet) Verdict {
		return drop(p.To().Node == node && p.From().Node != node && random.Float64() < share)
	}
}

// DeadMember drops the flows that one of four equal ways from a zone to the others carries.
func DeadMember(zone int) Fault {
	return func(p *Packet) Verdict {
		from, to := p.From(), p.To()
		if p.Kind == probe.ICMP || from.Zone != zone || to.Zone == zone {
			return Verdict{}
		}
		return drop((p.Flow+3*from.Node+5*to.Node+int(from.Network)+2*int(to.Network))&3 == 0)
	}
}

// SlowPath delays what goes from one node to another.
func SlowPath(from, to int, delay time.Duration) Fault {
	return func(p *Packet) Verdict {
		if p.From().Node == from && p.To().Node == to {
			return Verdict{Delay: delay}
		}
		return Verdict{}
	}
}

// PortBlocked drops one kind of probe on its way to a node; with probe.TCP the handshake goes first.
func PortBlocked(node int, kind probe.Kind) Fault {
	return func(p *Packet) Verdict {
		return drop(p.Kind == kind && !p.Row && !p.Reply && p.Destination.Node == node && p.Source.Node != node)
	}
}

// PortRejected is PortBlocked by a rule that answers with an ICMP message.
func PortRejected(node int, kind probe.Kind) Fault {
	blocked := PortBlocked(node, kind)
	return func(p *Packet) Verdict {
		v := blocked(p)
		v.Code = probe.CodeHostUnreachable
		return v
	}
}

// FamilyCut drops what goes to a node from others in one family.
func FamilyCut(node int, family mesh.Family) Fault {
	cut := DeafNode(node)
	return func(p *Packet) Verdict {
		if p.Family != family {
			return Verdict{}
		}
		return cut(p)
	}
}

// Unreported drops the reports of some places, directly and by relay, and nothing else.
func Unreported(who func(Place) bool) Fault {
	return func(p *Packet) Verdict { return drop(p.Row && who(p.Source)) }
}

// ServerBlocked drops what a node sends to the server itself; its peers can still relay.
func ServerBlocked(node int) Fault {
	return func(p *Packet) Verdict { return drop(p.Row && p.Source.Node == node && p.Destination == serverPlace) }
}
