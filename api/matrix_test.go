package api_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/mesh"
	"netchecker/probe"
)

// troubled is a cluster of four nodes with one of each trouble:
//
//	node1/pod > node2/pod   all lost on the way there, for two minutes
//	node1/pod > node3/host  large packets lost
//	node2/host > node1/host 3 of 16 flows dead
//	node3/pod               doubts itself, arrives by relay only
//	node4/pod               silent for a minute; node4/host never reported
func troubled(t testing.TB) *face {
	f := serve(t, nil)
	c := newCluster(t, 4)
	f.setRoster(c.registry.Roster())
	f.pass(time.Minute)
	from := map[mesh.Key]verdict{
		{Node: "node1", Network: mesh.Pod}: func(to mesh.Key) [probe.Kinds]probe.Status {
			s := good()
			switch to.String() {
			case "node2/pod":
				s = lost(2 * time.Minute)
				s[probe.UDP].Forward = 200
				s[probe.ICMP] = good()[probe.ICMP]
			case "node3/host":
				s[probe.MTU] = probe.Status{State: probe.Failing, Code: probe.CodeTimeout, Loss: 200, Forward: probe.LossUnknown,
					Return: probe.LossUnknown, MaxBytes: 1400, Age: 30 * time.Second}
			}
			return s
		},
		{Node: "node2", Network: mesh.Host}: func(to mesh.Key) [probe.Kinds]probe.Status {
			s := good()
			if to.String() == "node1/host" {
				s[probe.UDP] = probe.Status{State: probe.Degraded, Code: probe.CodeLoss, Loss: 38, Forward: 38, Return: 0,
					RTT: 1234567 * time.Nanosecond, BadFlows: 0x0111, Age: 90 * time.Second}
			}
			return s
		},
	}
	for _, a := range c.agents {
		row := c.row(a, from[a.Key], func(r *mesh.Row) {
			switch a.Key.String() {
			case "node3/pod":
				r.Doubt = probe.DoubtLag
			case "node1/pod":
				r.Services = []probe.Service{
					{Name: "dns-vip-udp", Kind: probe.ServiceDNSUDP, Address: "10.96.0.10:53", State: probe.Failing, Code: probe.CodeTimeout,
						Loss: 200, Detail: "no answer\x1b[31m", Age: 10 * time.Second},
					{Name: "server-vip", Kind: probe.ServiceHTTP, Address: "http://10.96.0.81:8081/api/v1/ping", State: probe.OK,
						RTT: 2 * time.Millisecond}}
			}
		})
		headers := []string{}
		switch a.Key.String() {
		case "node4/host":
			continue
		case "node3/pod":
			headers = []string{api.ViaHeader, api.SignVia(nil, mesh.Key{Node: "node2", Network: mesh.Host}, "", nil).String()}
		}
		if status, body := f.post(rowPath(a), string(c.encode(row, true)), headers...); status != 200 {
			t.Fatalf("%s: %d %s", a.Key, status, body)
		}
	}
	f.pass(time.Minute)
	for _, a := range c.agents {
		if a.Node == "node4" {
			continue
		}
		row := c.row(a, from[a.Key], func(r *mesh.Row) {
			switch a.Key.String() {
			case "node3/pod":
				r.Doubt = probe.DoubtLag
			case "node1/pod":
				r.Services = []probe.Service{
					{Name: "dns-vip-udp", Kind: probe.ServiceDNSUDP, Address: "10.96.0.10:53", State: probe.Failing, Code: probe.CodeTimeout,
						Loss: 200, Detail: "no answer\x1b[31m", Age: 10 * time.Second},
					{Name: "server-vip", Kind: probe.ServiceHTTP, Address: "http://10.96.0.81:8081/api/v1/ping", State: probe.OK,
						RTT: 2 * time.Millisecond}}
			}
		})
		headers := []string{}
		if a.Key.String() == "node3/pod" {
			headers = []string{api.ViaHeader, api.SignVia(nil, mesh.Key{Node: "node2", Network: mesh.Host}, "", nil).String()}
		}
		if status, body := f.post(rowPath(a), string(c.encode(row, true)), headers...); status != 200 {
			t.Fatalf("%s: %d %s", a.Key, status, body)
		}
	}
	return f
}

func TestTheMatrixInItsThreeForms(t *testing.T) {
	f := troubled(t)
	for name, query := range map[string]string{
		"matrix.txt":            "format=text",
		"matrix-from-node1.txt": "format=text&source=node1&state=all",
		"matrix.csv":            "format=csv",
	} {
		status, body := f.get("/api/v1/matrix?" + query)
		if status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		golden(t, name, body)
	}
	_, body := f.get("/api/v1/matrix")
	var pretty strings.Builder
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	e := json.NewEncoder(&pretty)
	e.SetIndent("", " ")
	e.Encode(v)
	golden(t, "matrix.json", pretty.String())
}

func TestAHealthyClusterInText(t *testing.T) {
	f := serve(t, nil)
	c := newCluster(t, 3)
	f.setRoster(c.registry.Roster())
	for _, a := range c.agents {
		f.post(rowPath(a), string(c.encode(c.row(a, nil), true)))
	}
	_, body := f.get("/api/v1/matrix?format=text")
	golden(t, "healthy.txt", body)
}

// TestNothingFoundIsSaidOfWhatWasAskedForAlone: elsewhere paths are failing.
func TestNothingFoundIsSaidOfWhatWasAskedForAlone(t *testing.T) {
	f := serve(t, nil)
	c := newCluster(t, 3)
	f.setRoster(c.registry.Roster())
	for _, a := range c.agents {
		f.post(rowPath(a), string(c.encode(c.row(a, func(to mesh.Key) [probe.Kinds]probe.Status {
			if a.Node != "node3" && to.String() == "node3/pod" {
				return lost(time.Second)
			}
			return good()
		}), true)))
	}
	for query, want := range map[string]string{
		"source=node3":                    "no path asked for is degraded, failing or unknown\n",
		"destination=node1":               "no path asked for is degraded, failing or unknown\n",
		"path=host-to-host":               "no path asked for is degraded, failing or unknown\n",
		"source=node3&state=failing":      "no path asked for is in that state\n",
		"state=unknown":                   "no path is in the state asked for\n",
		"path=host-to-host&state=failing": "no path asked for is in that state\n",
	} {
		if _, body := f.get("/api/v1/matrix?format=text&" + query); !strings.HasSuffix(body, "\n"+want) {
			t.Errorf("%s: %s, want %s", query, body, want)
		}
	}
}

func TestAServerThatKnowsNobodyIsUnknown(t *testing.T) {
	f := serve(t, nil)
	status, body := f.get("/api/v1/matrix")
	want := `{"generated_at":"2026-01-01T00:00:00.000Z","state":"unknown","nodes":[],"paths":{` +
		`"pod-to-pod":{"total":0,"ok":0,"degraded":0,"failing":0,"unknown":0},"host-to-pod":{"total":0,"ok":0,"degraded":0,"failing":0,"unknown":0},` +
		`"pod-to-host":{"total":0,"ok":0,"degraded":0,"failing":0,"unknown":0},"host-to-host":{"total":0,"ok":0,"degraded":0,"failing":0,"unknown":0}},` +
		`"pairs":[],"findings":[]}` + "\n"
	if status != 200 || body != want {
		t.Errorf("%d %s", status, body)
	}
	_, text := f.get("/api/v1/matrix?format=text")
	mustContain(t, text, "UNKNOWN", "0 nodes")
}

// Kubernetes tells of pods that should run and that nobody has heard of: they have no address.
func TestAnAgentThatWasNeverHeardOfHasNoAddress(t *testing.T) {
	f := serve(t, nil)
	f.setRoster(&mesh.Roster{Agents: []mesh.Member{{Agent: mesh.Agent{Name: "agent-x", Key: mesh.Key{Node: "node1"}}, Life: mesh.Dead}}})
	for _, path := range []string{"/api/v1/matrix", "/api/v1/explain?node=node1"} {
		if status, body := f.get(path); status != 200 || !strings.Contains(body, `"address":""`) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	_, text := f.get("/api/v1/matrix?format=text")
	mustContain(t, text, "node1/pod                absent, never reported (agent-x)\n")
}

// pair is what a test wants to know of one entry of pairs.
type pair struct {
	Source, Destination, Path, Family, State string
	Since                                    *time.Time
	Probes                                   map[string]map[string]any
}

func pairsOf(t *testing.T, body string) (out []pair) {
	t.Helper()
	var m struct{ Pairs []pair }
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		t.Fatal(err)
	}
	return m.Pairs
}

func TestFiltersChoosePaths(t *testing.T) {
	f := troubled(t)
	for query, want := range map[string]int{
		"state=all": 4*16 - 8, "state=failing": 1, "state=degraded": 2, "state=failing,degraded": 3,
		"state=unknown&source=node4": 14, "state=all&source=node1&destination=node2": 4, "state=all&path=host-to-host": 12,
		"state=all&path=host-to-host,pod-to-pod&source=node2": 6, "state=ok&source=node3&destination=node3": 2,
	} {
		_, body := f.get("/api/v1/matrix?" + query)
		pairs := pairsOf(t, body)
		if len(pairs) != want {
			t.Errorf("%s: %d pairs, want %d", query, len(pairs), want)
		}
		_, text := f.get("/api/v1/matrix?format=csv&" + query)
		lines, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil || len(lines) != want+1 {
			t.Errorf("%s: %d lines of csv, want %d: %v", query, len(lines), want+1, err)
		}
		if !slices.IsSortedFunc(pairs, func(a, b pair) int { return strings.Compare(a.Source, b.Source) }) {
			t.Errorf("%s: not sorted", query)
		}
	}
}

func TestEveryPathHasItsKeysAndUnknownFiguresAreLeftOut(t *testing.T) {
	f := troubled(t)
	_, body := f.get("/api/v1/matrix?state=all")
	for _, p := range pairsOf(t, body) {
		if p.Source == "" || p.Destination == "" || p.Path == "" || p.Family != "ipv4" || p.State == "" || len(p.Probes) != probe.Kinds {
			t.Fatalf("%+v", p)
		}
		for kind, fields := range p.Probes {
			for key, v := range fields {
				if v == nil || strings.HasSuffix(key, "loss") && (v.(float64) < 0 || v.(float64) > 1) {
					t.Errorf("%s.%s: %v", kind, key, v)
				}
			}
		}
	}
	if !strings.Contains(body, `"udp":{"state":"degraded","loss":0.19,"forward_loss":0.19,"return_loss":0,"rtt_ms":1.`) || !strings.Contains(body, `"bad_flows":"3 of 16","dead_flows":[0,4,8]`) ||
		!strings.Contains(body, `"max_bytes":1400`) {
		t.Error("figures are missing")
	}
}

func TestTheEncoderAgreesWithEncodingJSON(t *testing.T) {
	f := troubled(t)
	_, body := f.get("/api/v1/matrix?state=all")
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(body, "\x1b") {
		t.Error("a control character of an agent is in the answer")
	}
}

func TestABigClusterHasNoGridAndABoundedList(t *testing.T) {
	f := serve(t, nil)
	c := newCluster(t, 31)
	f.setRoster(c.registry.Roster())
	_, body := f.get("/api/v1/matrix?format=text")
	if strings.Contains(body, "FROM \\ TO") {
		t.Error("a grid of 31 nodes")
	}
	mustContain(t, body, "unknown   node7/host                   61 paths        00:00:00 (0s ago)     nobody fresh reports them: the agent is absent")
	for i, a := range c.agents {
		row := c.row(a, nil)
		if i < 10 {
			row = c.row(a, func(mesh.Key) [probe.Kinds]probe.Status { return lost(time.Second) })
		}
		f.post(rowPath(a), string(c.encode(row, true)))
	}
	_, body = f.get("/api/v1/matrix?format=text")
	mustContain(t, body, fmt.Sprintf("… and %d more", 10*(2*31-1)-api.MaxLines))
}
