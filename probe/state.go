package probe

import "fmt"

// State is the verdict on a probe or a path. The numbers travel on the wire: append only.
type State uint8

const (
	// Unknown means that nobody fresh reports it. It is never good news.
	Unknown State = iota
	// OK means that fresh probes came back.
	OK
	// Degraded means partial loss, a round trip far above its own baseline, or tcp or mtu failing alone.
	Degraded
	// Failing means that probes are lost in a row.
	Failing
	// States is the number of states.
	States = 4
)

var stateNames = [States]string{"unknown", "ok", "degraded", "failing"}

// String returns the state's name as it stands in JSON and metrics.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// ParseState is the inverse of String; its error names the allowed values.
func ParseState(text string) (State, error) {
	for i, name := range stateNames {
		if name == text {
			return State(i), nil
		}
	}
	return Unknown, fmt.Errorf("state %q: want one of unknown, ok, degraded, failing", text)
}

// Worst returns the worse of two states in the order ok, unknown, degraded, failing.
func Worst(a, b State) State {
	if severity[b] > severity[a] {
		return b
	}
	return a
}

// severity orders states for Worst: an unknown path hides a possible fault, so it is worse than
// ok, but a fault that somebody sees is worse than one that nobody does.
var severity = [States]int{Unknown: 1, OK: 0, Degraded: 2, Failing: 3}

// PathState folds the states of a path's probes into the path's own: udp failing fails the path;
// tcp or mtu failing alone degrade it; icmp never decides; otherwise the worst of udp, tcp and mtu,
// where an unknown tcp or mtu (switched off, or not yet probed) does not hide a good udp.
func PathState(probes [Kinds]State) State {
	s := probes[UDP]
	for _, k := range [...]Kind{MTU, TCP} {
		if probes[k] == Degraded || probes[k] == Failing {
			s = Worst(s, Degraded)
		}
	}
	return s
}
