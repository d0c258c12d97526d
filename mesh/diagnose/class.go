package diagnose

import (
	"netchecker/mesh"
	"netchecker/probe"
)

// class is the way in which a path is bad. Faults of different classes have different causes, so
// each is located on its own; a path has the first class that fits.
type class uint8

const (
	dead  class = iota // small probes do not come back
	big                // small ones do, full-sized ones never
	conn               // only connections fail, or whatever is new
	weak               // loss, slowness or dead flows: something comes back
	quiet              // only the kernel's echo fails, which decides nothing
	classes
	fine = classes
)

// classOf maps mesh.Cell.States to the class of a path.
var classOf = func() (table [256]class) {
	for s := range table {
		c := mesh.Cell{States: uint8(s)}
		table[s] = classify(c.ProbeState(probe.UDP), c.ProbeState(probe.MTU), c.ProbeState(probe.TCP), c.ProbeState(probe.ICMP))
	}
	return table
}()

func classify(udp, mtu, tcp, icmp probe.State) class {
	switch {
	case udp == probe.Failing:
		return dead
	case udp == probe.Degraded && tcp == probe.Failing: // what is new fails, while flows from before live on
		return conn
	case udp == probe.Degraded:
		return weak
	case udp == probe.OK && mtu == probe.Failing:
		return big
	case tcp == probe.Failing:
		return conn
	case mtu == probe.Degraded || tcp == probe.Degraded || mtu == probe.Failing:
		return weak
	case udp == probe.OK && icmp == probe.Failing:
		return quiet
	}
	return fine
}

// way is a direction as seen from a node, or from the first node of a pair.
type way uint8

const (
	out way = iota
	in
	ways = 2
)

// kinds is a set of path kinds.
type kinds uint8

func (s kinds) has(k mesh.PathKind) bool { return s>>k&1 != 0 }

const (
	pp = mesh.PodToPod
	hp = mesh.HostToPod
	ph = mesh.PodToHost
	hh = mesh.HostToHost

	allKinds     = kinds(1<<mesh.PathKinds - 1)
	overlayKinds = kinds(1<<pp | 1<<hp)
)

// verdict is what the paths of one kind and way of a suspect say together.
type verdict uint8

const (
	unheard verdict = iota // nobody knows any of these paths
	good
	mixed
	broken
)

// judge folds bad of known paths. One path in five may contradict: rows lag, and agents restart.
func judge(bad, known int) verdict {
	switch {
	case known <= 0:
		return unheard
	case 10*bad >= 7*known:
		return broken
	case 10*bad <= 3*known:
		return good
	}
	return mixed
}
