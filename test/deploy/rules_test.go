package deploy

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write what is derived from the rules and the base to where it must be, too")

const rulesFile = root + "/monitoring/netchecker.rules.yml"

func promtool(t *testing.T, folder string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Dir = folder
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v (test/setup.sh installs it)\n%s", strings.Join(args, " "), err, output)
	}
}

func TestPrometheusTakesTheFiles(t *testing.T) {
	promtool(t, root+"/monitoring", "check", "rules", "--lint-fatal", "netchecker.rules.yml")
	promtool(t, root+"/monitoring", "check", "config", "--lint-fatal", "prometheus.yml")
}

func TestRules(t *testing.T) {
	cases, err := filepath.Glob("testdata/*.test.yml")
	if err != nil || len(cases) == 0 {
		t.Fatal("no tests of rules", err)
	}
	for _, file := range cases {
		t.Run(filepath.Base(file), func(t *testing.T) { promtool(t, "testdata", "test", "rules", filepath.Base(file)) })
	}
}

// TestEveryAlertIsTested: each has a case in which it fires and one in which it does not.
func TestEveryAlertIsTested(t *testing.T) {
	fires, silent := map[string]bool{}, map[string]bool{}
	cases, err := filepath.Glob("testdata/*.test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range cases {
		var suite struct {
			Tests []struct {
				AlertRuleTest []struct {
					Alertname string `json:"alertname"`
					ExpAlerts []any  `json:"exp_alerts"`
				} `json:"alert_rule_test"`
			} `json:"tests"`
		}
		if err := yaml.Unmarshal([]byte(read(file)), &suite); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, test := range suite.Tests {
			for _, alert := range test.AlertRuleTest {
				if len(alert.ExpAlerts) > 0 {
					fires[alert.Alertname] = true
				} else {
					silent[alert.Alertname] = true
				}
			}
		}
	}
	alerts := regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(read(rulesFile), -1)
	if len(alerts) < 10 {
		t.Fatalf("%d alerts only", len(alerts))
	}
	for _, a := range alerts {
		if !fires[a[1]] || !silent[a[1]] {
			t.Errorf("%s: a case in which it fires %v, one in which it is silent %v", a[1], fires[a[1]], silent[a[1]])
		}
	}
}

// TestOriginalAlerts: whoever routes or silences the original's alerts finds them again.
func TestOriginalAlerts(t *testing.T) {
	var spec monitoringv1.PrometheusRuleSpec
	if err := yaml.UnmarshalStrict([]byte(read(rulesFile)), &spec); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(spec.Groups, func(g monitoringv1.RuleGroup) bool { return g.Name == "netchecker" })
	if i < 0 {
		t.Fatal("no group netchecker")
	}
	want := map[string]string{"NetCheckerAgentErrors": "> 10", "NetCheckerReportsMissing": "absent(ncagent_report_count_total)",
		"NetCheckerTCPServerDelay": "> 100", "NetCheckerDNSSlow": "> 300"}
	for _, rule := range spec.Groups[i].Rules {
		if part, ok := want[rule.Alert]; !ok || !strings.Contains(rule.Expr.String(), part) {
			t.Errorf("%q: %s", rule.Alert, rule.Expr.String())
		}
		if rule.For == nil || *rule.For != "5m" || len(rule.Labels) != 1 || rule.Labels["severity"] != "warning" {
			t.Errorf("%s: for %v, labels %v", rule.Alert, rule.For, rule.Labels)
		}
		delete(want, rule.Alert)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

// TestEveryRecordIsTested: what is computed ahead for the dashboards is computed right.
func TestEveryRecordIsTested(t *testing.T) {
	asked := strings.Join(regexp.MustCompile(`- expr: .*`).FindAllString(read("testdata/records.test.yml"), -1), "\n")
	records := regexp.MustCompile(`record: (\S+:\S+:\S+)`).FindAllStringSubmatch(read(rulesFile), -1)
	if len(records) < 5 {
		t.Fatalf("%d records only", len(records))
	}
	for _, r := range records {
		if !strings.Contains(asked, r[1]) {
			t.Errorf("no test asks for %s", r[1])
		}
	}
}

// exported are the metrics that api/metrics makes, by their names in the code.
func exported(t *testing.T) map[string]bool {
	t.Helper()
	sources, err := filepath.Glob("../../api/metrics/*.go")
	if err != nil || len(sources) == 0 {
		t.Fatal("no metrics", err)
	}
	out := map[string]bool{}
	for _, file := range sources {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range regexp.MustCompile(`"((?:netchecker|ncagent)_[a-z_]+)"`).FindAllStringSubmatch(read(file), -1) {
			out[m[1]] = true
		}
	}
	return out
}

// unknownMetrics lists the metrics in a text that nobody exports. A histogram's parts and the names of
// records, which say the metric they are made of, count as the metric.
func unknownMetrics(t *testing.T, text string) (names int, unknown []string) {
	t.Helper()
	known := exported(t)
	for _, name := range regexp.MustCompile(`\b(?:netchecker|ncagent)_[a-z_]+`).FindAllString(text, -1) {
		names++
		whole := strings.TrimSuffix(strings.TrimSuffix(name, "_sum"), "_count")
		if !known[name] && !known[name+"_total"] && !known[whole] {
			unknown = append(unknown, name)
		}
	}
	return names, unknown
}

// TestMetricsOfTheRulesExist: a rule over a metric that nobody exports never fires.
func TestMetricsOfTheRulesExist(t *testing.T) {
	names, unknown := unknownMetrics(t, read(rulesFile))
	if names < 10 || len(unknown) > 0 {
		t.Errorf("%d metrics; nobody exports %q", names, unknown)
	}
	if _, unknown := unknownMetrics(t, "rate(netchecker_no_such_thing_total[5m])"); len(unknown) != 1 {
		t.Error("a metric that nobody exports is taken")
	}
}

// TestCopies: the operator, Grafana's sidecar and Helm want rules, CRD and dashboards in files of their own. They are
// derived, by `go test -run Copies . -update` in this folder.
func TestCopies(t *testing.T) {
	rules := read(rulesFile)
	rule := root + "/monitoring/prometheusrule.yaml"
	head, _, found := strings.Cut(read(rule), "\nspec:\n")
	if !found {
		t.Fatalf("%s has no spec", rule)
	}
	copied(t, rule, head+"\nspec:\n"+indent(rules, "  "))
	copied(t, chart+"/files/netchecker.rules.yml", rules)
	copied(t, chart+"/files/crd.yaml", read(root+"/base/crd.yaml"))
	copied(t, root+"/monitoring/dashboards.yaml", configMaps(t))
	for _, file := range dashboardFiles(t) {
		copied(t, chart+"/files/dashboards/"+filepath.Base(file), read(file))
	}
}

func indent(text, by string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" {
			out.WriteString(by)
		}
		out.WriteString(line)
	}
	return out.String()
}

func copied(t *testing.T, file, want string) {
	t.Helper()
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(want), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if read(file) != want {
		t.Errorf("%s is not what it is derived from: go test -run Copies . -update", file)
	}
}
