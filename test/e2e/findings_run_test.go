package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/test/lab"
	"netchecker/test/lab/cluster"
)

// score is how one run of a fault was called.
type score struct {
	located, caused bool
	wrong           []string
	took            time.Duration
}

// afterwards is how long a fault stays in force after it was called by its name, for anything that
// should not be said.
const afterwards = 5 * time.Second

// judge injects the fault at random nodes and waits until it is called by its name, then a while
// more for anything that should not be said, and watches it heal.
func judge(t *testing.T, c *cluster.Cluster, v *verdict, limit time.Duration) (s score) {
	t.Helper()
	nodes := v.places(c)
	heal := breakIt(t, c, v, nodes)
	began := time.Now()
	var end time.Time
	if v.kind == "" { // no fault: it is enough that nobody says anything
		s.located, s.caused, end = true, true, began.Add(3*afterwards)
	}
	said := map[string]bool{}
	for now := began; end.IsZero() && now.Sub(began) < limit || now.Before(end); now = time.Now() {
		for _, f := range findings(t, c) {
			if !said[f.Summary] {
				said[f.Summary] = true
				t.Logf("  says after %.1f s: %s", now.Sub(began).Seconds(), f.Summary)
			}
			s.take(v, &f, nodes, now.Sub(began))
		}
		if s.located && s.caused && end.IsZero() {
			end = now.Add(afterwards)
		}
		pause(t.Context())
	}
	heal()
	for began := time.Now(); !quietNow(t, c); pause(t.Context()) {
		for _, f := range findings(t, c) {
			s.take(v, &f, nodes, 0)
		}
		if time.Since(began) > patience {
			t.Errorf("%s: still found after healing: %+v", v.fault, findings(t, c))
			break
		}
	}
	awaitAllOK(t, c)
	t.Logf("VERDICT %-26s at %v of %d located %-5v named %-5v wrong %d after %.1f s, broken at %s", v.fault, nodes[:v.args], c.Lab.Nodes(),
		s.located, s.caused, len(s.wrong), s.took.Seconds(), began.UTC().Format("15:04:05"))
	for _, w := range s.wrong {
		t.Logf("  wrong: %s", w)
	}
	return s
}

// cutsServer are faults of a node that take the server with them where it lives: then that node alone
// is heard, or nobody, and that is what must be said (TestTheServersNodeIsCutOff, and
// TestSilenceOfAllIsTheServersFault of mesh/diagnose).
var cutsServer = []string{"dup-podcidr", "dup-podcidr-sameip", "node-dead", "dup-ip", "nic-down", "nm-cni0-down", "nm-cni0-noaddr", "iptables-flush", "ip-forward-0", "docker0-overlaps-nodenet", "firewalld", "input-drop"}

// places are the nodes at which a fault is tried, by chance.
func (v *verdict) places(c *cluster.Cluster) []int {
	nodes := shuffled(c.Lab.Nodes())
	if at := slices.Index(nodes[:v.args], c.Lab.ServerPod().Node); at >= 0 && slices.Contains(cutsServer, v.fault) {
		nodes[at], nodes[v.args] = nodes[v.args], nodes[at]
	}
	return nodes
}

// shuffled are the node numbers of a lab in random order.
func shuffled(n int) []int {
	nodes := rand.Perm(n)
	for i := range nodes {
		nodes[i]++
	}
	return nodes
}

// take notes what a finding is worth.
func (s *score) take(v *verdict, f *finding, nodes []int, after time.Duration) {
	if f.Kind != v.kind || !v.at(f, nodes) || f.Cause != "" && !v.caused(f) {
		text := fmt.Sprintf("%s/%s %v %s>%s: %s", f.Kind, f.Cause, f.Location.Nodes, f.Location.Source, f.Location.Destination, f.Summary)
		if after <= 0 {
			text = "while it heals: " + text
		}
		if !slices.Contains(s.wrong, text) {
			s.wrong = append(s.wrong, text)
		}
		return
	}
	if !s.located && after > 0 {
		s.located, s.took = true, after
	}
	if v.caused(f) && !s.caused && after > 0 {
		s.caused, s.took = true, after
	}
}

// quietNow reports whether nothing is found.
func quietNow(t *testing.T, c *cluster.Cluster) bool { return len(findings(t, c)) == 0 }

// breakIt injects the fault, which must succeed where nothing else is broken; what is returned heals it.
func breakIt(t *testing.T, c *cluster.Cluster, v *verdict, nodes []int) func() {
	t.Helper()
	heal, err := inject(t, c, v, nodes)
	if err != nil && os.Getenv("NETCHECKER_MODE") != "" {
		t.Skip(err) // of a tunnel that is not there
	}
	if err != nil {
		t.Fatal(err)
	}
	return heal
}

// inject is breakIt that returns its error; then nothing is broken that was not before.
func inject(t *testing.T, c *cluster.Cluster, v *verdict, nodes []int) (func(), error) {
	t.Helper()
	k := nodes[0]
	switch v.fault {
	case "agent-dead":
		c.KillAgent(k, mesh.Pod)
		return func() { restart(t, c, k, mesh.Pod) }, nil
	case "host-agent-dead":
		c.KillAgent(k, mesh.Host)
		return func() { restart(t, c, k, mesh.Host) }, nil
	case "agent-hung":
		return c.FreezeAgent(k, mesh.Pod)
	}
	args := slices.Clone(nodes[:v.args])
	if v.fault == "fw-agent-port" {
		args = append(args, 8095)
	}
	heal, err := c.Lab.Inject(t.Context(), v.fault, args...)
	if err != nil {
		return nil, err
	}
	return func() {
		if err := heal(); err != nil {
			t.Error(err)
		}
		if v.fault == "node-dead" {
			restart(t, c, k, mesh.Pod)
			restart(t, c, k, mesh.Host)
		}
	}, nil
}

func restart(t *testing.T, c *cluster.Cluster, i int, network mesh.Network) {
	t.Helper()
	if err := c.StartAgent(i, network); err != nil {
		t.Error(err)
	}
}

// everyDay are faults of every part of a node and of the network between, by which each change of
// the diagnosis is tried; all of them take a quarter of an hour.
const everyDay = "dup-podcidr-sameip,docker0-overlaps-nodenet,firewalld,mtu-pmtud-blackhole,kubeproxy-rules-gone,node-dead"

// labNodes is how large the lab of a run is: NETCHECKER_NODES, or by chance 3 to 8 nodes. With
// NETCHECKER_MODE=hostgw it has routes in place of a tunnel.
func labNodes() int {
	if n, err := strconv.Atoi(os.Getenv("NETCHECKER_NODES")); err == nil && n > 0 {
		return n
	}
	return 3 + rand.IntN(6)
}

// trial is the configuration in which faults are judged; NETCHECKER_EVIDENCE=privileged lets the host
// agents read the packet filter.
func trial() cluster.Config {
	return cluster.Config{Privileged: privileged()}
}

// TestFaultsAreCalledByTheirNames injects some faults, or those that NETCHECKER_FAULTS names, separated
// by commas, or all of them, NETCHECKER_RUNS times, each time in a lab of its own. A fault must be
// located and called by its name, and nothing else may be said at any moment.
func TestFaultsAreCalledByTheirNames(t *testing.T) {
	list, limit, size := os.Getenv("NETCHECKER_FAULTS"), 25*time.Second, labNodes
	if list == "" { // a test is patient, figures are not
		list, limit, size = everyDay, patience, func() int { return 5 }
	}
	chosen := strings.Split(list, ",")
	scores := map[string][]score{}
	for run := range runs() {
		t.Run(fmt.Sprintf("run%d", run+1), func(t *testing.T) {
			c := start(t, lab.Config{Nodes: size(), Mode: lab.Mode(os.Getenv("NETCHECKER_MODE"))}, trial())
			for i, v := range append(slices.Clone(verdicts), beyond...) {
				set := "all"
				if i >= len(verdicts) {
					set = "beyond"
				}
				if !slices.Contains(chosen, v.fault) && !slices.Contains(chosen, set) || c.Lab.Nodes() < v.least {
					continue
				}
				t.Run(v.fault, func(t *testing.T) {
					s := judge(t, c, &v, limit)
					scores[v.fault] = append(scores[v.fault], s)
					if !s.located {
						t.Errorf("not located")
					} else if !s.caused {
						t.Errorf("cause not named")
					}
					if len(s.wrong) > 0 {
						t.Errorf("%d wrong findings: %s", len(s.wrong), strings.Join(s.wrong, "; "))
					}
				})
			}
		})
	}
	table(t, scores)
}

// table prints what the runs of each fault came to.
func table(t *testing.T, scores map[string][]score) {
	t.Logf("TABLE | fault | runs | located | named | wrong findings | median seconds |")
	for _, v := range append(slices.Clone(verdicts), beyond...) {
		list := scores[v.fault]
		if len(list) == 0 {
			continue
		}
		located, named, wrong := 0, 0, 0
		var took []time.Duration
		for _, s := range list {
			if s.located {
				located++
				took = append(took, s.took)
			}
			if s.caused {
				named++
			}
			wrong += len(s.wrong)
		}
		median := "-"
		if slices.Sort(took); len(took) > 0 {
			median = fmt.Sprintf("%.1f", took[len(took)/2].Seconds())
		}
		t.Logf("TABLE | %s | %d | %d | %d | %d | %s |", v.fault, len(list), located, named, wrong, median)
	}
}
