package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

func dashboardFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(root + "/monitoring/dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no dashboards", err)
	}
	return files
}

// configMaps are the dashboards as Grafana's sidecar wants them.
func configMaps(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	out.WriteString("# For the sidecar of Grafana, which looks for the label. Derived from dashboards/*.json.\n")
	for i, file := range dashboardFiles(t) {
		if i > 0 {
			out.WriteString("---\n")
		}
		name := filepath.Base(file)
		fmt.Fprintf(&out, `apiVersion: v1
kind: ConfigMap
metadata:
  name: netchecker-dashboard-%s
  namespace: monitoring # deploy.sh: namespace: ${MON_NS}
  labels:
    app.kubernetes.io/part-of: netchecker
    grafana_dashboard: "1"
data:
  netchecker-%s: |
%s`, strings.TrimSuffix(name, ".json"), name, indent(read(file), "    "))
	}
	return out.String()
}

// board is a dashboard as its types in Grafana know it.
type board struct {
	dashboard.Dashboard
	panels    []*dashboard.Panel // without rows
	variables map[string]*dashboard.VariableModel
}

// boards reads all dashboards strictly: a field that Grafana does not know is an error, as is the
// lack of one that it wants.
func boards(t *testing.T) map[string]*board {
	t.Helper()
	kinds := cog.NewRuntime()
	kinds.RegisterPanelcfgVariant(stat.VariantConfig())
	kinds.RegisterPanelcfgVariant(statetimeline.VariantConfig())
	kinds.RegisterPanelcfgVariant(table.VariantConfig())
	kinds.RegisterPanelcfgVariant(timeseries.VariantConfig())
	kinds.RegisterDataqueryVariant(prometheus.VariantConfig())
	out := map[string]*board{}
	for _, file := range dashboardFiles(t) {
		b := &board{variables: map[string]*dashboard.VariableModel{}}
		// The library's strict reading returns errors of no text where there are none, and stops there.
		if err := new(board).UnmarshalJSONStrict([]byte(read(file))); err != nil && err.Error() != "" {
			t.Fatalf("%s: %v", file, err)
		}
		if err := errors.Join(json.Unmarshal([]byte(read(file)), &b.Dashboard), b.Validate()); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for i := range b.Panels {
			if p := b.Panels[i].Panel; p != nil {
				b.panels = append(b.panels, p)
			} else if len(b.Panels[i].RowPanel.Panels) > 0 {
				t.Errorf("%s: panels hidden in a row", file)
			}
		}
		for i := range b.Templating.List {
			b.variables[b.Templating.List[i].Name] = &b.Templating.List[i]
		}
		if b.Uid == nil || out[*b.Uid] != nil {
			t.Fatalf("%s: no uid of its own", file)
		}
		out[*b.Uid] = b
	}
	return out
}

func text[T any](v *T) (out T) {
	if v != nil {
		out = *v
	}
	return out
}

// TestDashboards: what Grafana would take either way but a person would miss.
func TestDashboards(t *testing.T) {
	for uid, b := range boards(t) {
		if b.SchemaVersion < 39 || text(b.Title) == "" || text(b.Description) == "" || text(b.Id) != 0 || !slices.Contains(b.Tags, "netchecker") {
			t.Errorf("%s: schema %d, title %q, id %v, tags %q", uid, b.SchemaVersion, text(b.Title), b.Id, b.Tags)
		}
		if v := b.variables["datasource"]; v == nil || v.Type != dashboard.VariableTypeDatasource || b.Templating.List[0].Name != "datasource" {
			t.Errorf("%s: the first variable is not the data source", uid)
		}
		for _, v := range b.variables {
			if v.Name != "datasource" && (v.Datasource == nil || text(v.Datasource.Uid) != "${datasource}" || text(v.Label) == "" || text(v.Description) == "") {
				t.Errorf("%s: variable %s asks another data source, or has no label or description", uid, v.Name)
			}
		}
		if len(b.panels) < 8 {
			t.Errorf("%s: %d panels only", uid, len(b.panels))
		}
		for _, p := range b.panels {
			checkPanel(t, uid, p)
		}
		checkGrid(t, uid, b)
	}
}

func checkPanel(t *testing.T, uid string, p *dashboard.Panel) {
	t.Helper()
	name := uid + ": " + text(p.Title)
	if text(p.Title) == "" || len(text(p.Description)) < 20 {
		t.Errorf("%s: no title, or no description that says anything: %q", name, text(p.Description))
	}
	if p.FieldConfig == nil || text(p.FieldConfig.Defaults.Unit) == "" {
		t.Errorf("%s: no unit", name)
	}
	if p.Datasource == nil || text(p.Datasource.Uid) != "${datasource}" {
		t.Errorf("%s: its data source is not the variable", name)
	}
	refs := map[string]bool{}
	for _, target := range p.Targets {
		q, ok := target.(*prometheus.Dataquery)
		if !ok || q.Expr == "" || q.Datasource == nil || text(q.Datasource.Uid) != "${datasource}" || text(q.RefId) == "" || refs[*q.RefId] {
			t.Errorf("%s: query %+v", name, target)
			continue
		}
		refs[*q.RefId] = true
	}
	if len(refs) == 0 {
		t.Errorf("%s: no query", name)
	}
}

// checkGrid wants each id once and no panel on another one.
func checkGrid(t *testing.T, uid string, b *board) {
	t.Helper()
	ids, taken := map[uint32]string{}, map[[2]uint32]string{}
	for i := range b.Panels {
		var id uint32
		var title string
		var at *dashboard.GridPos
		if p := b.Panels[i].Panel; p != nil {
			id, title, at = text(p.Id), text(p.Title), p.GridPos
		} else {
			row := b.Panels[i].RowPanel
			id, title, at = row.Id, text(row.Title), row.GridPos
		}
		if id == 0 || ids[id] != "" {
			t.Errorf("%s: %q has the id %d, which %q has", uid, title, id, ids[id])
		}
		ids[id] = title
		if at == nil || at.W == 0 || at.H == 0 || at.X+at.W > 24 {
			t.Errorf("%s: %q lies at %+v", uid, title, at)
			continue
		}
		for x := at.X; x < at.X+at.W; x++ {
			for y := at.Y; y < at.Y+at.H; y++ {
				if other := taken[[2]uint32{x, y}]; other != "" {
					t.Fatalf("%s: %q lies on %q", uid, title, other)
				}
				taken[[2]uint32{x, y}] = title
			}
		}
	}
}

// variable matches a use of a variable of a dashboard, and of Grafana's own.
var variable = regexp.MustCompile(`\$\{?([a-z_]+)`)

// TestDashboardsAreConsistent: queries ask for what is exported or recorded, and variables and the
// dashboards that links lead to exist.
func TestDashboardsAreConsistent(t *testing.T) {
	all, rules := boards(t), read(rulesFile)
	for uid, b := range all {
		var queries []string
		for _, p := range b.panels {
			for _, target := range p.Targets {
				queries = append(queries, target.(*prometheus.Dataquery).Expr)
			}
		}
		whole := strings.Join(queries, "\n")
		if names, unknown := unknownMetrics(t, whole); names < 5 || len(unknown) > 0 {
			t.Errorf("%s: %d metrics; nobody exports %q", uid, names, unknown)
		}
		for _, name := range regexp.MustCompile(`[a-z_]*:[a-z_]+(:\w+)?`).FindAllString(whole, -1) {
			if !strings.Contains(rules, "record: "+name+"\n") {
				t.Errorf("%s: nobody records %s", uid, name)
			}
		}
		for _, m := range variable.FindAllStringSubmatch(whole, -1) {
			if b.variables[m[1]] == nil && m[1] != "__rate_interval" {
				t.Errorf("%s: no variable %s", uid, m[1])
			}
		}
	}
	links := 0
	for _, file := range dashboardFiles(t) {
		for _, m := range regexp.MustCompile(`"url": "(/d/[^"]+)"`).FindAllStringSubmatch(read(file), -1) {
			links++
			target, query, _ := strings.Cut(strings.TrimPrefix(m[1], "/d/"), "?")
			if all[target] == nil {
				t.Errorf("%s: no dashboard %s", file, target)
				continue
			}
			for _, v := range regexp.MustCompile(`var-(\w+)=`).FindAllStringSubmatch(query, -1) {
				if all[target].variables[v[1]] == nil {
					t.Errorf("%s: %s has no variable %s", file, target, v[1])
				}
			}
			if !strings.Contains(query, "${datasource:queryparam}") || !strings.Contains(query, "${__url_time_range}") {
				t.Errorf("%s: %s forgets the data source or the time", file, m[1])
			}
		}
	}
	if links < 5 {
		t.Errorf("%d links only", links)
	}
}

// TestDashboardsFitTheirConfigMaps: kubectl apply keeps a copy of the whole in an annotation, and all
// annotations together have 256 KiB.
func TestDashboardsFitTheirConfigMaps(t *testing.T) {
	for _, file := range dashboardFiles(t) {
		quoted, err := json.Marshal(read(file))
		if err != nil || len(quoted) > 200<<10 {
			t.Errorf("%s: %d bytes, %v", file, len(quoted), err)
		}
	}
}
