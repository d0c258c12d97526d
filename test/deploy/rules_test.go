package deploy

import (
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

// TestMetricsOfTheRulesExist: a rule over a metric that nobody exports never fires.
func TestMetricsOfTheRulesExist(t *testing.T) {
	sources, err := filepath.Glob("../../api/metrics/*.go")
	if err != nil || len(sources) == 0 {
		t.Fatal("no metrics", err)
	}
	var code strings.Builder
	for _, file := range sources {
		if !strings.HasSuffix(file, "_test.go") {
			code.WriteString(read(file))
		}
	}
	names := regexp.MustCompile(`\b(netchecker|ncagent)_[a-z_]+`).FindAllString(read(rulesFile), -1)
	if len(names) < 10 {
		t.Fatalf("%d metrics only", len(names))
	}
	for _, name := range names {
		if !strings.Contains(code.String(), `"`+name+`"`) {
			t.Errorf("nothing exports %s", name)
		}
	}
}

// TestCopies: the operator and Helm want the rules and the CRD in files of their own. They are
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
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if read(file) != want {
		t.Errorf("%s is not what it is derived from: go test -run Copies . -update", file)
	}
}
