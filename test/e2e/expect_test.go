package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"netchecker/test/lab"
	"netchecker/test/lab/cluster"
)

// kindNames maps the shorthand of scenarios to path kinds.
var kindNames = map[string]string{"PP": "pod-to-pod", "HP": "host-to-pod", "PH": "pod-to-host", "HH": "host-to-host",
	"HPL": "host-to-pod", "PHL": "pod-to-host"}

// expectation maps "source>destination kind" of every path that should not be ok to the states it may have.
type expectation map[string][]string

// expect reads, for a lab of n nodes, what a fault should do: parts separated by "; ", each
// "KINDS ENDS STATES", for instance "PP,HP 3<>* failing; HPL 3 failing". KINDS are of PP HP PH HH
// (between nodes) and HPL PHL (inside a node); ENDS are A>B, A<>B or A with * for all others and
// {45} for a group; STATES are separated by |.
func expect(n int, text string) (expectation, error) {
	out := expectation{}
	for part := range strings.SplitSeq(text, "; ") {
		fields := strings.Fields(part)
		if len(fields) != 3 {
			return nil, fmt.Errorf("expectation %q: want KINDS ENDS STATES", part)
		}
		states := strings.Split(fields[2], "|")
		for kind := range strings.SplitSeq(fields[0], ",") {
			path := kindNames[kind]
			if path == "" {
				return nil, fmt.Errorf("expectation %q: kind %q", part, kind)
			}
			for _, ends := range pairs(n, fields[1], len(kind) == 3) {
				key := fmt.Sprintf("%s>%s %s", lab.NodeName(ends[0]), lab.NodeName(ends[1]), path)
				if out[key] == nil {
					out[key] = states
				}
			}
		}
	}
	return out, nil
}

func pairs(n int, text string, local bool) (out [][2]int) {
	if local {
		for _, i := range group(n, text) {
			out = append(out, [2]int{i, i})
		}
		return out
	}
	from, to, both := strings.Cut(text, "<>")
	if !both {
		from, to, _ = strings.Cut(text, ">")
	}
	for _, a := range group(n, from) {
		for _, b := range group(n, to) {
			if a == b {
				continue
			}
			out = append(out, [2]int{a, b})
			if both {
				out = append(out, [2]int{b, a})
			}
		}
	}
	return out
}

func group(n int, text string) (out []int) {
	if text == "*" {
		for i := 1; i <= n; i++ {
			out = append(out, i)
		}
		return out
	}
	for _, digit := range strings.Trim(text, "{}") {
		i, _ := strconv.Atoi(string(digit))
		out = append(out, i)
	}
	return out
}

// check compares a matrix with the expectation and returns what differs, nothing when it holds.
func (e expectation) check(m *cluster.Matrix) (missing, unexpected []string) {
	left := maps.Clone(e)
	for key, states := range e { // only what is not ok is in the matrix
		if slices.Contains(states, "ok") {
			delete(left, key)
		}
	}
	for _, p := range m.Pairs {
		key := fmt.Sprintf("%s>%s %s", p.Source, p.Destination, p.Path)
		if slices.Contains(e[key], p.State) {
			delete(left, key)
			continue
		}
		if e[key] == nil {
			unexpected = append(unexpected, key+" "+p.State+why(p))
		}
	}
	missing = slices.Sorted(maps.Keys(left))
	slices.Sort(unexpected)
	return missing, unexpected
}

func why(p cluster.Pair) string {
	var out []string
	for _, name := range []string{"udp", "mtu", "tcp"} {
		if s := p.Probes[name]; s.State != "ok" {
			out = append(out, name+"="+s.State+" "+s.Error)
		}
	}
	return " (" + strings.Join(out, ", ") + ")"
}
