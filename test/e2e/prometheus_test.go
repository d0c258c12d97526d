package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"netchecker/mesh"
	"netchecker/test/lab"
	"netchecker/test/lab/cluster"
)

// prometheus is Debian's, in the server's pod.
type prometheus struct {
	http *http.Client
	url  string
}

// seconds is how often the Prometheus of a test scrapes and evaluates, and how long an alert must hold.
const seconds = 2

var (
	discovery = regexp.MustCompile(`(?m)^    dns_sd_configs:\n.*port: (\d+)}$`)
	intervals = regexp.MustCompile(`(?m)^( *(?:interval|scrape_interval|evaluation_interval|for): ).*$`)
)

// scrape starts a Prometheus with the shipped configuration and rules, but for addresses, which no
// DNS tells here, and for its pace. Each line of relabel is one of the agents' metric_relabel_configs.
func scrape(t *testing.T, c *cluster.Cluster, port int, server string, relabel []string, args ...string) *prometheus {
	t.Helper()
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Fatal("no Prometheus: make setup installs it: ", err)
	}
	dir := openFolder(t)
	agents := []string{}
	for i := 1; i <= c.Lab.Nodes(); i++ {
		for network := range mesh.Network(mesh.Networks) {
			agents = append(agents, net.JoinHostPort(c.Agent(i, network).Endpoint.Addr.String(), "8095"))
		}
	}
	targets := map[string]string{"8081": server, "8095": strings.Join(agents, ", ")}
	for _, file := range []string{"prometheus.yml", "netchecker.rules.yml"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "monitoring", file))
		if err != nil {
			t.Fatal(err)
		}
		content := intervals.ReplaceAllString(string(text), fmt.Sprintf("${1}%ds", seconds))
		content = discovery.ReplaceAllStringFunc(content, func(found string) string {
			at := discovery.FindStringSubmatch(found)[1]
			out := "    static_configs:\n      - targets: [" + targets[at] + "]"
			if at == "8095" && len(relabel) > 0 {
				out += "\n    metric_relabel_configs:\n      - " + strings.Join(relabel, "\n      - ")
			}
			delete(targets, at)
			return out
		})
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if len(targets) > 0 {
		t.Fatalf("prometheus.yml scrapes nothing at %v: does this test read it right?", targets)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	p := &prometheus{url: fmt.Sprintf("http://127.0.0.1:%d", port),
		http: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: c.Lab.Dialer(c.Lab.ServerPod().Namespace), DisableKeepAlives: true}}}
	process := c.Lab.Command(c.Lab.ServerPod().Namespace, "prometheus", append([]string{"--config.file=" + dir + "/prometheus.yml", "--storage.tsdb.path=" + dir + "/data",
		fmt.Sprintf("--web.listen-address=127.0.0.1:%d", port)}, args...)...)
	process.Stdout, process.Stderr = log, log
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		process.Kill()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("prometheus:\n%s", text[max(0, len(text)-2000):])
		}
	})
	return p
}

// openFolder makes a folder that programs under user 65534 can write to.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "netchecker-e2e-open-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// get asks the HTTP API.
func (p *prometheus) get(ctx context.Context, path string, query url.Values, data any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	res, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return fmt.Errorf("status %d: %w", res.StatusCode, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", query.Get("query"), answer.Error)
	}
	return nil
}

// sample is one series of an answer: its labels and its last value that is a number.
type sample struct {
	Metric map[string]string
	Value  float64
}

// query evaluates an expression now, or for every step of the last minute.
func (p *prometheus) query(ctx context.Context, expr string, ranged bool) ([]sample, error) {
	path, query, now := "/api/v1/query", url.Values{"query": {expr}}, time.Now()
	if ranged {
		path = "/api/v1/query_range"
		query["start"], query["end"] = []string{now.Add(-time.Minute).Format(time.RFC3339)}, []string{now.Format(time.RFC3339)}
		query["step"] = []string{strconv.Itoa(seconds)}
	}
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
			Values [][2]any
		}
	}
	if err := p.get(ctx, path, query, &data); err != nil {
		return nil, err
	}
	var out []sample
	for _, r := range data.Result {
		for _, v := range append(r.Values, r.Value) {
			text, _ := v[1].(string)
			if f, err := strconv.ParseFloat(text, 64); err == nil && f == f {
				out = append(out, sample{r.Metric, f})
			}
		}
	}
	return out, nil
}

// secondServer runs one more server on a node, to which all agents report, too.
func secondServer(t *testing.T, c *cluster.Cluster, node int, args ...string) (address string) {
	t.Helper()
	at := c.Lab.Node(node)
	address = net.JoinHostPort(at.Addr.String(), strconv.Itoa(lab.ServerPort+1))
	process := c.Lab.Command(at.Namespace, filepath.Join(bin, "netchecker-server"), append([]string{"-endpoint=" + address, "-advertise=" + at.Addr.String(),
		"-gossip-port=8097", "-join=" + net.JoinHostPort(at.Addr.String(), "8096"), "-auth=none"}, args...)...)
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(process.Kill)
	return address
}
