package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/test/lab"
	"netchecker/test/lab/cluster"
)

// board is what a query needs of a dashboard; that the rest is in order is tested in test/deploy.
type board struct {
	UID        string
	Templating struct {
		List []struct {
			Name, Type, AllValue string
			Multi                bool
			Query                any
		}
	}
	Panels []panel
}

type panel struct {
	Type, Title string
	Targets     []struct {
		Expr, RefID string
		Instant     bool
	}
}

func boards(t *testing.T) (out []board) {
	t.Helper()
	files, err := filepath.Glob("../../deploy/monitoring/dashboards/*.json")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d dashboards, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var b board
		if err := json.Unmarshal(text, &b); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, b)
	}
	return out
}

// left matches a variable, and not the $1 of label_replace, which Grafana leaves alone, too.
var left = regexp.MustCompile(`\$\{?[a-z_]`)

var labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)

// fill replaces variables as Grafana does: a variable with one value by it, one with many by what
// stands for all of them. rate_interval is four scrapes, since the points of a panel are no further apart.
func fill(text string, values map[string]string) string {
	return os.Expand(text, func(name string) string {
		if name == "__rate_interval" {
			return fmt.Sprintf("%ds", 4*seconds)
		}
		if value, ok := values[name]; ok {
			return value
		}
		return "$" + name
	})
}

// choose runs the queries of a dashboard's variables in their order and chooses everything where
// that can be chosen, else what is chosen here.
func (b *board) choose(ctx context.Context, p *prometheus, chosen map[string]string) (map[string]string, error) {
	values := map[string]string{}
	for _, v := range b.Templating.List {
		if v.Type == "datasource" {
			continue
		}
		query, _ := v.Query.(map[string]any)["query"].(string)
		m := labelValues.FindStringSubmatch(fill(query, values))
		if m == nil {
			return nil, fmt.Errorf("variable %s: this test does not know %q", v.Name, query)
		}
		var found []string
		if err := p.get(ctx, "/api/v1/label/"+m[2]+"/values", url.Values{"match[]": {m[1]}}, &found); err != nil {
			return nil, err
		}
		switch {
		case len(found) == 0:
			return nil, fmt.Errorf("variable %s has no values", v.Name)
		case v.AllValue != "":
			values[v.Name] = v.AllValue
		case v.Multi:
			values[v.Name] = "(" + strings.Join(found, "|") + ")"
		case !slices.Contains(found, chosen[v.Name]):
			return nil, fmt.Errorf("variable %s: no %q among %q", v.Name, chosen[v.Name], found)
		default:
			values[v.Name] = chosen[v.Name]
		}
	}
	return values, nil
}

// empty lists the queries that return nothing, "dashboard: panel A: why".
func empty(ctx context.Context, p *prometheus, all []board, chosen map[string]string) (out []string, asked int) {
	for i := range all {
		b := &all[i]
		values, err := b.choose(ctx, p, chosen)
		if err != nil {
			out = append(out, b.UID+": "+err.Error())
			continue
		}
		for _, panel := range b.Panels {
			for _, target := range panel.Targets {
				asked++
				expr := fill(target.Expr, values)
				if left.MatchString(expr) {
					out = append(out, fmt.Sprintf("%s: %s %s: a variable is left in %s", b.UID, panel.Title, target.RefID, expr))
					continue
				}
				if data, err := p.query(ctx, expr, !target.Instant); err != nil || len(data) == 0 {
					out = append(out, fmt.Sprintf("%s: %s %s: no data, %v: %s", b.UID, panel.Title, target.RefID, err, expr))
				}
			}
		}
	}
	return out, asked
}

// full waits until every query of every panel and variable returns data.
func (p *prometheus) full(t *testing.T, what string, all []board) {
	t.Helper()
	var missing []string
	var asked int
	for began := time.Now(); time.Since(began) < patience; pause(t.Context()) {
		if missing, asked = empty(t.Context(), p, all, map[string]string{"source": "node1", "destination": "node2"}); len(missing) == 0 {
			t.Logf("%s: %d queries return data after %.1f s", what, asked, time.Since(began).Seconds())
			return
		}
	}
	t.Errorf("%s: of %d queries %d return nothing:\n%s", what, asked, len(missing), strings.Join(missing, "\n"))
}

// says wants an expression to have this one value.
func (p *prometheus) says(t *testing.T, expr string, want float64) {
	t.Helper()
	var got []sample
	var err error
	for began := time.Now(); time.Since(began) < patience; pause(t.Context()) {
		if got, err = p.query(t.Context(), expr, false); err == nil && len(got) == 1 && got[0].Value == want {
			return
		}
	}
	t.Errorf("%s: %v, %v, want %v", expr, got, err, want)
}

// TestEveryPanelShowsData runs what the dashboards ask, while the overlay of a node is broken and the way to its
// host is lossy, against Prometheus as shipped: once in a small cluster, and once as in one that is too big for a series
// for every path, where server and agents tell only of what is bad.
func TestEveryPanelShowsData(t *testing.T) {
	const victim = 2
	services := fmt.Sprintf("-services=dns-vip=dns://%s:53/netchecker-service,server-vip=http://%s:%d/api/v1/ping", lab.DNSVIP, lab.ServerVIP, lab.ServerPort)
	c := start(t, lab.Config{Nodes: 4, Zones: 2}, cluster.Config{ServerArgs: []string{services, "-data-dir=" + openFolder(t)}})
	big := secondServer(t, c, 1, services, "-pair-metrics-nodes=1", "-data-dir="+openFolder(t))
	small := scrape(t, c, 9090, strings.TrimPrefix(c.URL(), "http://"), nil)
	large := scrape(t, c, 9091, big, []string{`{action: drop, source_labels: [__name__], regex: "netchecker_path_.*"}`}, "--enable-feature=native-histograms")
	for _, p := range []*prometheus{small, large} {
		p.says(t, `sum(netchecker_paths{state="ok"})`, float64(paths4N(4)))
	}
	if _, err := c.Lab.Inject(t.Context(), "fw-8472-in", victim); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Lab.Inject(t.Context(), "loss", 1, victim); err != nil { // what fails has no round trip, what is lossy has
		t.Fatal(err)
	}
	all := boards(t)
	small.full(t, "small cluster", all)
	large.full(t, "big cluster", all)
	for _, f := range findings(t, c) { // node2 has the DNS pod, though nothing says so here
		if f.Kind == "dns_failing" {
			t.Errorf("the broken overlay takes DNS with it, and that is said twice: %s", f.Summary)
		}
	}

	for _, p := range []*prometheus{small, large} {
		p.says(t, `source_destination:netchecker_path_state:worst{source="node1",destination="node2"}`, 3)
		p.says(t, `count(netchecker_path_state{destination="node2"} == 3) and on () count(netchecker_finding_since_timestamp_seconds{node="node2",summary=~".*8472.*"})`, 6)
		p.says(t, `count by (zone) (node:netchecker_node_info:topk{zone="zone2"})`, 2)
	}
	small.says(t, `source_destination:netchecker_path_state:worst{source="node1",destination="node3"}`, 1)
	large.says(t, `count(netchecker_path_state == 1) or vector(0)`, 0)
	silence(t, c, small)
}

// silence kills the agents of a node: nothing of it may look well then.
func silence(t *testing.T, c *cluster.Cluster, p *prometheus) {
	t.Helper()
	for network := range mesh.Network(mesh.Networks) {
		c.KillAgent(4, network)
	}
	p.says(t, `sum(netchecker_node_paths{node="node4",state!="unknown"})`, 0)
	p.says(t, `max(source_destination:netchecker_path_state:worst{source="node4"})`, 0)
	p.says(t, `sum(min by (network, state) (netchecker_agents{state=~"stale|absent"}))`, 2)
}
