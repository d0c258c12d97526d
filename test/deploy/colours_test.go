package deploy

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// colours are the states', by the palette of Okabe and Ito, which people see apart who do not see
// red and green.
var colours = map[string]string{"ok": "#009E73", "degraded": "#F0E442", "failing": "#D55E00", "unknown": "#808080"}

// palette is all that a dashboard may name besides: the rest of that palette, and no colour at all.
var palette = []string{"#0072B2", "#56B4E9", "#CC79A7", "#E69F00", "text", "transparent"}

// TestUnknownIsNeverGreen: a state's name has that state's colour wherever it is mapped, nothing is
// green before there is news, and no other greens and reds are in use.
func TestUnknownIsNeverGreen(t *testing.T) {
	allowed, seen := slices.Clone(palette), map[string]int{}
	for _, colour := range colours {
		allowed = append(allowed, colour)
	}
	for _, file := range dashboardFiles(t) {
		content := read(file)
		for _, m := range regexp.MustCompile(`"(?:color|fixedColor)": "([^"]+)"`).FindAllStringSubmatch(content, -1) {
			if !slices.Contains(allowed, m[1]) {
				t.Errorf("%s: colour %s is not of the palette", file, m[1])
			}
		}
		for _, m := range regexp.MustCompile(`"color": "([^"]+)",\s*"index": \d+,\s*"text": "(\w+)"`).FindAllStringSubmatch(content, -1) {
			if want := colours[m[2]]; want != "" && m[1] != want {
				t.Errorf("%s: %s is %s", file, m[2], m[1])
			}
			seen[m[2]]++
		}
	}
	for state := range colours {
		if seen[state] < 3 {
			t.Errorf("%s is shown %d times", state, seen[state])
		}
	}
	for uid, b := range boards(t) {
		for _, p := range b.panels {
			if th := p.FieldConfig.Defaults.Thresholds; th != nil && len(th.Steps) > 0 && th.Steps[0].Color == colours["ok"] {
				t.Errorf("%s: %s is green without news", uid, text(p.Title))
			}
		}
	}
}

// ofPaths matches what has series for single paths, not all of which exist in a big cluster.
var ofPaths = regexp.MustCompile(`netchecker_path_|netchecker:pair_paths_failing`)

// TestPanelsSayWhatTheyDoNotShow: who looks at an empty panel of a big cluster must read why.
func TestPanelsSayWhatTheyDoNotShow(t *testing.T) {
	said := 0
	for uid, b := range boards(t) {
		for _, p := range b.panels {
			for _, target := range p.Targets {
				expr, says := target.(*prometheus.Dataquery).Expr, text(p.Description)
				if ofPaths.MatchString(expr) && p.Title != nil && *p.Title != "Left out" {
					said++
					if !strings.Contains(says, "-pair-metrics-nodes") && !strings.Contains(says, "10,000") {
						t.Errorf("%s: %s does not say of which paths it tells", uid, *p.Title)
					}
				}
				if strings.Contains(expr, "netchecker_agent_") && !strings.Contains(says, "agents scraped") {
					t.Errorf("%s: %s does not say that it wants the agents scraped", uid, text(p.Title))
				}
			}
		}
	}
	if said < 10 {
		t.Errorf("%d queries of paths only", said)
	}
}
