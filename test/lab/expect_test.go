package lab_test

import (
	"fmt"
	"strings"
	"testing"
)

// expectation is what a fault does, in the notation of the fault tables:
//
//	PP,HP: 3<>*            all probes of these kinds of path fail between node 3 and all others
//	HH: udp[*>3] tcp[*>3]  only these probes do
//	HPL,PHL: 3             paths inside node 3
//	srv vip = 3,4          services, asked from node 3 and its pod; srv:P only from the pod
//	~PH: tcp8k[3>*]        may fail or not
//
// Clauses are separated by semicolons; groups are written {12}>{345} and everything ALL.
type expectation struct{ fail, maybe map[cell]bool }

func parseExpectation(t *testing.T, text string, nodes int) expectation {
	t.Helper()
	e := expectation{map[cell]bool{}, map[cell]bool{}}
	for clause := range strings.SplitSeq(text, ";") {
		if clause = strings.TrimSpace(clause); clause == "" {
			continue
		}
		into := e.fail
		if rest, found := strings.CutPrefix(clause, "~"); found {
			clause, into = rest, e.maybe
		}
		var err error
		if names, sources, found := strings.Cut(clause, " = "); found {
			err = parseServices(into, names, sources, nodes)
		} else {
			err = parsePaths(into, clause, nodes)
		}
		if err != nil {
			t.Fatalf("expectation %q: %v", clause, err)
		}
	}
	return e
}

func parseServices(into map[cell]bool, names, sources string, nodes int) error {
	for name := range strings.FieldsSeq(names) {
		name, network, limited := strings.Cut(name, ":")
		name, probe, oneProbe := strings.Cut(name, "/")
		if serviceProbes[name] == nil {
			return fmt.Errorf("no service %q", name)
		}
		for _, src := range nodeSet(strings.ReplaceAll(sources, ",", ""), nodes) {
			for _, p := range serviceProbes[name] {
				for _, n := range []string{"P", "H"} {
					if (!limited || network == n) && (!oneProbe || probe == p) {
						into[cell{name + ":" + n, p, src, 0}] = true
					}
				}
			}
		}
	}
	return nil
}

func parsePaths(into map[cell]bool, clause string, nodes int) error {
	kinds, patterns, found := strings.Cut(clause, ": ")
	if !found {
		return fmt.Errorf("no kind of path")
	}
	for _, pattern := range splitPatterns(patterns) {
		probes := probeNames
		if name, rest, found := strings.Cut(pattern, "["); found {
			probes, pattern = []string{name}, strings.TrimSuffix(rest, "]")
		}
		for kind := range strings.SplitSeq(kinds, ",") {
			for one := range strings.FieldsSeq(pattern) {
				for _, pair := range pairsOf(kind, one, nodes) {
					for _, probe := range probes {
						into[cell{kind, probe, pair[0], pair[1]}] = true
					}
				}
			}
		}
	}
	return nil
}

// splitPatterns splits at blanks outside brackets.
func splitPatterns(s string) (parts []string) {
	depth := 0
	return strings.FieldsFunc(s, func(r rune) bool {
		switch r {
		case '[':
			depth++
		case ']':
			depth--
		}
		return r == ' ' && depth == 0
	})
}

func pairsOf(kind, pattern string, nodes int) (pairs [][2]int) {
	if strings.HasSuffix(kind, "L") {
		for _, n := range nodeSet(pattern, nodes) {
			pairs = append(pairs, [2]int{n, n})
		}
		return pairs
	}
	left, right, both := strings.Cut(pattern, "<>")
	if !both {
		if pattern == "ALL" {
			left, right = "*", "*"
		} else {
			left, right, _ = strings.Cut(pattern, ">")
		}
	}
	for _, a := range nodeSet(left, nodes) {
		for _, b := range nodeSet(right, nodes) {
			if a == b {
				continue
			}
			pairs = append(pairs, [2]int{a, b})
			if both {
				pairs = append(pairs, [2]int{b, a})
			}
		}
	}
	return pairs
}

// nodeSet reads "3", "{123}", "45", "*" and "ALL"; nodes have one digit.
func nodeSet(s string, nodes int) (set []int) {
	for i := 1; i <= nodes; i++ {
		if s == "*" || s == "ALL" || strings.ContainsRune(s, rune('0'+i)) {
			set = append(set, i)
		}
	}
	return set
}
