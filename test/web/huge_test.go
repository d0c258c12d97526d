package web

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// What an overview says of the four kinds of paths of a pair, three bits each.
const (
	noneToItself = 4 | 4<<9
	allUnknown   = 1 | 1<<3 | 1<<6 | 1<<9
	allFailing   = 3 | 3<<3 | 3<<6 | 3<<9
	toPodsFail   = 3 | 3<<3
)

// hugeNodes is the largest mesh that is promised.
const hugeNodes = 5000

// hugeOverview is what a server answers of 5,000 nodes of which node31 and node4711 are dead and node5
// does not reach the pods of node9.
func hugeOverview(zones int) map[string]any {
	dead := []int{30, 4710}
	nodes, rows := make([]map[string]any, hugeNodes), map[int][]int{}
	for i := range nodes {
		state := map[string]string{"state": "reporting"}
		cells := map[int]int{dead[0]: allFailing, dead[1]: allFailing}
		if slices.Contains(dead, i) {
			state = map[string]string{"state": "stale"}
			for j := range hugeNodes {
				cells[j] = allUnknown
			}
		}
		if i == 4 {
			cells[8] = toPodsFail
		}
		cells[i] = noneToItself
		for j := range hugeNodes {
			if cell, there := cells[j]; there {
				if r := rows[i]; len(r) > 0 && r[len(r)-3]+r[len(r)-2] == j && r[len(r)-1] == cell {
					r[len(r)-2]++
				} else {
					rows[i] = append(r, j, 1, cell)
				}
			}
		}
		zone := ""
		if zones > 0 {
			zone = fmt.Sprintf("zone-%c", 'a'+i%zones)
		}
		nodes[i] = map[string]any{"name": fmt.Sprintf("node%d", i+1), "zone": zone, "pod": state, "host": state}
	}
	paths := map[string]any{}
	for kind, total := range map[string]int{"pod-to-pod": hugeNodes * (hugeNodes - 1), "host-to-pod": hugeNodes * hugeNodes, "pod-to-host": hugeNodes * hugeNodes, "host-to-host": hugeNodes * (hugeNodes - 1)} {
		failing, unknown := 2*(hugeNodes-2), 2*hugeNodes
		paths[kind] = map[string]int{"total": total, "ok": total - failing - unknown, "degraded": 0, "failing": failing, "unknown": unknown}
	}
	return map[string]any{"version": 7, "since": nil, "state": "failing", "agents": map[string]any{"expected": 2 * hugeNodes, "reporting": 2*hugeNodes - 4, "oldest_report": time.Now().UTC()},
		"paths": paths, "nodes": nodes, "rows": rows, "findings": []any{nodeDown("node31"), nodeDown("node4711")}}
}

func nodeDown(name string) map[string]any {
	return map[string]any{"kind": "node_down", "severity": "critical", "since": time.Now().UTC(), "id": "dead-" + name, "closed_at": nil,
		"summary":  name + " is down: nothing reaches it on either network, and it reports nothing. Check its power and its console.",
		"location": map[string]any{"scope": "node", "nodes": []string{name}, "source": "", "destination": "", "culprit": name, "network": "", "groups": []any{}},
		"cause":    "", "confidence": 0.9, "explains": 8*hugeNodes - 6, "paths": []any{map[string]string{"path": "", "source": "", "destination": name}},
		"alternatives": []string{}, "evidence": []any{}, "check": "ping " + name}
}

// huge puts that overview in front of a small server: to the page the answer is what counts, and 10,000
// agents would take a machine minutes to say it.
func huge(t *testing.T, server string, zones int) string {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	whole := hugeOverview(zones)
	proxy := httputil.NewSingleHostReverseProxy(to)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/overview" {
			proxy.ServeHTTP(w, r)
			return
		}
		message := map[string]any{}
		maps.Copy(message, whole)
		if r.FormValue("since") == "7" { // nothing is new
			message["since"], message["rows"] = 7, map[int][]int{}
			delete(message, "nodes")
			delete(message, "findings")
		}
		message["generated_at"] = time.Now().UTC()
		body, err := json.Marshal(message)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	}))
	t.Cleanup(front.Close)
	return front.URL + "/"
}

// TestFiveThousandNodes opens the largest mesh: it comes in groups, by zone or, where there are none, by
// name, and everything works as with four nodes.
func TestFiveThousandNodes(t *testing.T) {
	s := serve(t, "-nodes", "3")
	for zones, groups := range map[int]int{25: 25, 0: 50} {
		t.Run(fmt.Sprintf("%d zones", zones), func(t *testing.T) {
			front := huge(t, between(t, s.url, nil, "/api/v1/events"), zones)
			p := open(t, front, desk)
			p.expected = true
			p.says("#headline", "39,984 of 99,990,000 paths between 5,000 nodes are failing, 40,000 unknown.")
			p.await(fmt.Sprintf("document.getElementById('matrix').matrix.items.length === %d", groups))
			p.await("location.hash.includes('zones=1')")
			got := eval[measured](p, figures)
			t.Logf("5000 nodes in %d groups: first paint %.0f ms; a panned frame %.2f ms in the median, %.2f at worst; heap %.1f MiB", groups, got.Paint, got.Median, got.Worst, got.Heap)
			p.run(click("#fit"))
			if p.shot(fmt.Sprintf("5000-%d-groups", groups)); zones > 0 {
				pictures(t, front, p, "5000", "from=node5&to=node9")
			}

			p.run(click(".finding .say"))
			p.says("#list summary", "19,996 paths of 4,999 pairs that the chosen finding explains")
			p.run(chromedp.SendKeys("#q", "node4711", chromedp.ByQuery))
			p.await("document.getElementById('matrix').matrix.items[0].name === 'node4711'")
			p.run(chromedp.Focus("#matrix", chromedp.ByQuery), chromedp.KeyEvent("n"))
			p.says("#spoken", "node4711")
			p.run(click("#expand"))
			p.await("document.getElementById('matrix').matrix.items.length === 5000")
			got = eval[measured](p, figures)
			// A dead node is seen wherever it stands, though one pixel stands for four pairs.
			if missed := eval[[]string](p, `(() => { const m = document.getElementById('matrix').matrix, failing = 3;
				return ['node31', 'node4711', 'node32', 'node4710'].filter(name => {
					const to = m.items.findIndex(item => item.name === name) & ~1, seen = (m.plane.worst(2500, to, 2) >> 9 & 7) === failing;
					return seen !== [m.items[to], m.items[to + 1]].some(item => /^node(31|4711)$/.test(item.name)); }); })()`); len(missed) > 0 {
				t.Errorf("what fails is not drawn, or more than that, at %v", missed)
			}
			t.Logf("5000 nodes, every one by itself: a panned frame %.2f ms in the median, %.2f at worst; heap %.1f MiB", got.Median, got.Worst, got.Heap)
			p.run(click("#zones"))
			p.await("location.hash.includes('zones=0')")
			p.run(chromedp.Reload())
			p.await("document.getElementById('matrix').matrix.items.length === 5000") // as it was left
		})
	}
}
