package diagnose

import (
	"slices"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// maxSample is how many paths of a suspect are looked at closely: enough to tell what most say.
const maxSample = 64

// sample is what some of a suspect's bad paths say in detail. Index 0 (out) is of paths that leave
// the node or lead from a to b, index 1 (in) of the others.
type sample struct {
	paths [ways]int
	codes [ways][probe.Kinds][probe.Codes]int
	// lostOut and lostIn count the paths whose packets are lost on the way from the node, and to it,
	// whichever of the two ends asked; told is how many know.
	lostOut, lostIn, told int
	// states counts the probes by state, of settled paths only.
	states [ways][probe.Kinds][probe.States]int
	// now counts the icmp probes by state whether settled or not.
	now   [ways][probe.States]int
	flows int
	loss  []float64
	rtts  []time.Duration
	sizes []int
	since []time.Time
	// local are the codes of the paths inside the node.
	local  [2]probe.Code
	byKind [mesh.PathKinds]int
	// bigFrom are the codes of full-sized probes, by the network that sent them.
	bigFrom [mesh.Networks][probe.Codes]int
}

// settleProbe is how long after the small probes failed the others are known to have had their turn.
const settleProbe = 5 * time.Second

// take adds a path whose packets to the suspect's side go w.
func (s *sample) take(path *mesh.Path, w way) {
	s.paths[w]++
	s.byKind[path.Kind()]++
	if !path.Since.IsZero() {
		s.since = append(s.since, path.Since)
	}
	udp := &path.Probes[probe.UDP]
	for k := range path.Probes {
		st := &path.Probes[k]
		if st.State >= probe.Degraded {
			if k == int(probe.MTU) {
				s.bigFrom[path.Source.Network&1][min(st.Code, probe.Codes-1)]++
			}
			s.codes[w][k][min(st.Code, probe.Codes-1)]++
		}
		if udp.State != probe.Failing || udp.Age >= settleProbe {
			s.states[w][k][st.State&3]++
		}
	}
	s.now[w][path.Probes[probe.ICMP].State&3]++
	if udp.BadFlows != 0 {
		s.flows++
	}
	if ratio, ok := udp.Loss.Ratio(); ok && udp.State >= probe.Degraded {
		s.loss = append(s.loss, ratio)
	}
	if udp.RTT > 0 {
		s.rtts = append(s.rtts, udp.RTT)
	}
	if mtu := &path.Probes[probe.MTU]; mtu.MaxBytes > 0 && mtu.State >= probe.Degraded {
		s.sizes = append(s.sizes, int(mtu.MaxBytes))
	}
	s.direct(path, w)
}

// direct counts the direction in which packets are lost.
func (s *sample) direct(path *mesh.Path, w way) {
	for k := probe.UDP; k <= probe.TCP; k++ {
		st := &path.Probes[k]
		if st.State < probe.Degraded {
			continue
		}
		forward, knowsForward := st.Forward.Ratio()
		back, knowsBack := st.Return.Ratio()
		if !knowsForward && !knowsBack {
			return
		}
		s.told++
		const some = 0.04
		there, here := knowsForward && forward > some, knowsBack && back > some
		if w == in {
			there, here = here, there
		}
		if there {
			s.lostOut++
		}
		if here {
			s.lostIn++
		}
		return
	}
}

// direction says which way packets are lost, seen from the node or from a: out, in, both, or unknown.
type direction uint8

const (
	unclear direction = iota
	bothWays
	outOnly
	inOnly
)

func (s *sample) direction() direction {
	if s.told < 2 && s.told < s.paths[out]+s.paths[in] {
		return unclear
	}
	outward, inward := 5*s.lostOut >= 2*s.told, 5*s.lostIn >= 2*s.told
	rarelyOut, rarelyIn := 10*s.lostOut <= s.told, 10*s.lostIn <= s.told
	switch {
	case s.told == 0:
		return unclear
	case outward && inward:
		return bothWays
	case outward && rarelyIn:
		return outOnly
	case inward && rarelyOut:
		return inOnly
	}
	return unclear
}

// mostly reports whether most bad probes of a kind, on paths of a way, show one of the codes.
func (s *sample) mostly(w way, k probe.Kind, codes ...probe.Code) bool {
	sum, hit := 0, 0
	for code, n := range s.codes[w][k] {
		sum += n
		if slices.Contains(codes, probe.Code(code)) {
			hit += n
		}
	}
	return sum > 0 && 2*hit > sum
}

// any reports whether some bad probe shows one of the codes.
func (s *sample) any(w way, codes ...probe.Code) bool {
	for k := range s.codes[w] {
		for _, code := range codes {
			if s.codes[w][k][code] > 0 {
				return true
			}
		}
	}
	return false
}

// still reports whether most paths of a way have a probe in a state while the small one fails.
func (s *sample) still(w way, k probe.Kind, state probe.State) bool {
	sum := 0
	for _, n := range s.states[w][k] {
		sum += n
	}
	return sum > 0 && 10*s.states[w][k][state] >= 7*sum
}

// began is the earliest and the latest beginning of the sampled paths; zero times when unknown.
func (s *sample) began() (first, last time.Time) {
	if len(s.since) == 0 {
		return time.Time{}, time.Time{}
	}
	return slices.MinFunc(s.since, time.Time.Compare), slices.MaxFunc(s.since, time.Time.Compare)
}

func median[T int | float64 | time.Duration](list []T) T {
	if len(list) == 0 {
		return 0
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return list[len(list)/2]
}

// answersPing reports whether most addresses at the other end of a way's paths answer ping, and
// whether that is known for sure: a probe that has had no turn yet still says what was before.
func (s *sample) answersPing(w way) (yes, sure bool) {
	sum := s.now[w][probe.OK] + s.now[w][probe.Degraded] + s.now[w][probe.Failing]
	if sum == 0 || 2*s.now[w][probe.OK] <= sum {
		return false, true
	}
	return true, s.still(w, probe.ICMP, probe.OK)
}
