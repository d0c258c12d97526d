package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/mesh"
	"netchecker/mesh/diagnose"
	"netchecker/probe"
)

// wantError checks that an answer is the wanted status with the words in its {"error"}.
func wantError(t *testing.T, status int, body string, want int, words ...string) {
	t.Helper()
	var e api.ErrorAnswer
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error == "" {
		t.Errorf("answer %d %q is no {\"error\"}: %v", status, body, err)
	}
	if status != want {
		t.Errorf("status %d (%s), want %d", status, e.Error, want)
	}
	mustContain(t, e.Error, words...)
}

func TestBadReportsAreRefusedWithTheReasonAndNothingIsStored(t *testing.T) {
	f := serve(t, nil)
	for _, c := range []struct {
		name, agent, body string
		status            int
		words             []string
	}{
		{"no body", "a", "", 400, []string{"cut short"}},
		{"no JSON", "a", "hello", 400, []string{"invalid character"}},
		{"truncated", "a", oldReport("a", "n", 60)[:200], 400, []string{"cut short"}},
		{"two objects", "a", `{}{}`, 400, []string{"something follows"}},
		{"an array", "a", `[]`, 400, []string{"array"}},
		{"a number with a fraction", "a", `{"report_interval":1.5}`, 400, []string{"report_interval"}},
		{"not a number", "a", `{"uptime":NaN}`, 400, nil},
		{"a figure beyond 64 bits", "a", `{"network_probes":[{"Total":99999999999999999999}]}`, 400, []string{"Total"}},
		{"a negative uptime", "a", `{"uptime":-1}`, 400, []string{"uptime"}},
		{"another agent's name", "a", `{"podname":"b"}`, 400, []string{`podname is "b"`}},
		{"a node name with a quote", "a", `{"nodename":"n\"} 1\nx"}`, 400, []string{"not allowed"}},
		{"an unknown network", "a", `{"network":"moon"}`, 400, []string{"want pod or host"}},
		{"a million interfaces", "a", `{"ips":{"e":["` + strings.Repeat(`1","`, 1<<16) + `"]}}`, 400, []string{"to keep"}},
		{"deeply nested", "a", strings.Repeat(`{"x":`, 20000), 400, nil},
		{"slash in the name", "a%2Fb", "{}", 400, []string{"agent name", "not allowed"}},
		{"quote in the name", "a%22b", "{}", 400, []string{"not allowed"}},
		{"control character in the name", "a%0Ab", "{}", 400, []string{"not allowed"}},
		{"dots for a name", "%2E%2E", "{}", 400, []string{"begins with"}},
		{"300 characters", strings.Repeat("a", 300), "{}", 400, []string{"at most 253"}},
		{"no name", "", "{}", 405, []string{"not allowed"}},
		{"more than a megabyte", "a", `{"zero_extender":[` + strings.Repeat("0,", 1<<19) + `0]}`, 413, []string{"more than 1048576 bytes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := f.post("/api/v1/agents/"+c.agent, c.body)
			wantError(t, status, body, c.status, c.words...)
		})
	}
	if _, body := f.get("/api/v1/agents/"); body != "{}" {
		t.Errorf("stored: %s", body)
	}
	if in := f.server.Reports(); in.Accepted != 0 || in.Refused[api.Malformed] != 19 || in.Refused[api.TooLarge] != 1 {
		t.Errorf("counted: %+v", in)
	}
}

func TestNonsenseThatOldAgentsSendIsTaken(t *testing.T) {
	f := serve(t, nil)
	for name, body := range map[string]string{
		"an empty object":          `{}`,
		"intervals of no sense":    `{"report_interval":-5}`,
		"an interval of ages":      `{"report_interval":9223372036854775807}`,
		"a Total of 292 years":     `{"network_probes":[{"URL":"u","Total":9223372036854}]}`,
		"null lists":               `{"nslookup":null,"ips":null,"network_probes":null,"zero_extender":null}`,
		"zero_extender of 100,000": `{"zero_extender":[` + strings.Repeat("0,", 99_999) + `0]}`,
	} {
		if status, answer := f.post("/api/v1/agents/a", body); status != 200 {
			t.Errorf("%s: %d %s", name, status, answer)
		}
		if status, answer := f.get("/api/v1/agents/a"); status != 200 || !json.Valid([]byte(answer)) {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	f.post("/api/v1/agents/a", `{"report_interval":9223372036854775807}`)
	f.pass(49 * time.Hour)
	if status, _ := f.get("/api/v1/connectivity_check"); status != 200 {
		t.Errorf("an agent that nobody expects is forgotten after the TTL: %d", status)
	}
}

func TestPagesAndMethodsThatAreNotThereAnswerInJSON(t *testing.T) {
	f := serve(t, nil)
	status, body := f.get("/nope")
	wantError(t, status, body, 404, "/nope")
	status, body, header := f.do("DELETE", "/api/v1/agents/a", nil)
	wantError(t, status, body, 405, "DELETE")
	mustContain(t, header.Get("Allow"), "GET", "POST")
	status, body = f.post("/api/v1/connectivity_check", "")
	wantError(t, status, body, 405)
	for _, path := range []string{"/", "/healthz", "/readyz", "/api/v1/ping", "/api/v1/matrix", "/api/v1/agents/", "/api/v1/findings", "/api/v1/connectivity_check"} {
		if status, body, _ := f.do("HEAD", path, nil); status != 200 || body != "" {
			t.Errorf("HEAD %s: %d %q", path, status, body)
		}
	}
	mustContain(t, second(f.get("/")), "/api/v1/matrix", "/api/v1/connectivity_check", "/metrics")
	if status, body := f.get("/api/v1/findings"); status != 200 || body != `{"findings":[]}` {
		t.Errorf("findings: %d %s", status, body)
	}
}

func TestBadRowsAreRefusedWithTheReason(t *testing.T) {
	f := serve(t, nil)
	c := newCluster(t, 2)
	a := c.agents[0]
	whole := c.encode(c.row(a, nil), true)
	server := a
	server.Role = mesh.RoleServer
	for _, x := range []struct {
		name, path string
		body       []byte
		status     int
		words      []string
	}{
		{"a table not seen", rowPath(a), c.encode(c.row(a, nil), false), 409, []string{"unknown destination table"}},
		{"empty", rowPath(a), nil, 400, []string{"not a row"}},
		{"JSON", rowPath(a), []byte(`{"row":1}`), 400, []string{"not a row"}},
		{"of the next version", rowPath(a), append([]byte("NCR\x02"), whole[4:]...), 400, []string{"version 2: want 1"}},
		{"truncated", rowPath(a), whole[:len(whole)-5], 400, []string{"row"}},
		{"a flipped bit", rowPath(a), flip(whole, len(whole)/2), 400, []string{"row"}},
		{"another agent's name", rowPath(c.agents[1]), whole, 400, []string{`row of "agent-pod-1" posted as "agent-host-1"`}},
		{"of a server", rowPath(a), c.encode(c.row(server, nil), true), 400, []string{"not an agent"}},
		{"an interval of an hour", rowPath(a), c.encode(c.row(a, nil, func(r *mesh.Row) { r.Interval = time.Hour }), true), 400, []string{"60000"}},
		{"a bad roster version", rowPath(a) + "?roster=x", whole, 400, []string{"want a version"}},
		{"a bad name", "/api/v1/agents/a%2Fb/row", whole, 400, []string{"agent name"}},
		{"8 MiB and a byte", rowPath(a), make([]byte, api.MaxRowBody+1), 413, []string{"more than"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			status, body := f.post(x.path, string(x.body))
			wantError(t, status, body, x.status, x.words...)
		})
	}
	if in := f.server.Rows(); in.Accepted != 0 || in.Refused[api.UnknownTable] != 1 || in.Refused[api.TooLarge] != 1 {
		t.Errorf("counted: %+v", in)
	}
	if len(f.server.View().Agents()) != 0 {
		t.Error("a refused row left something in the matrix")
	}
}

func flip(b []byte, i int) []byte {
	b = append([]byte(nil), b...)
	b[i] ^= 0x10
	return b
}

func TestWrongQueriesNameTheAllowedValues(t *testing.T) {
	f := serve(t, nil)
	c := newCluster(t, 2)
	f.setRoster(c.registry.Roster())
	for query, words := range map[string][]string{
		"state=broken":      {`state "broken"`, "all, ok, degraded, failing, unknown"},
		"path=pod-to-moon":  {`path "pod-to-moon"`, "pod-to-pod, host-to-pod, pod-to-host, host-to-host"},
		"format=xml":        {`format "xml"`, "json, text, csv"},
		"source=node7":      {`source "node7"`, "node1, node2"},
		"destination=node7": {`destination "node7"`, "node1, node2"},
		"source=a,b":        {"one node"},
		"source=%0A":        {},
		"destination=" + strings.Repeat("x", 9999): {"destination"},
		"sauce=node1":          {`parameter "sauce"`, "destination, format, path, source, state"},
		"state=%zz":            {"query"},
		"state=failing;path=x": {"query"},
	} {
		if query == "source=%0A" {
			continue // trimmed to nothing: no filter
		}
		status, body := f.get("/api/v1/matrix?" + query)
		wantError(t, status, body, 400, words...)
		if len(body) > 600 {
			t.Errorf("%s: an answer of %d bytes", query[:10], len(body))
		}
	}
	for _, query := range []string{"", "state=", "state=all", "state=failing,degraded&state=unknown", "source=node1&destination=node2", "path=pod-to-pod&format=csv"} {
		if status, body := f.get("/api/v1/matrix?" + query); status != 200 {
			t.Errorf("%s: %d %s", query, status, body)
		}
	}
}

func TestAnEndlessBodyIsCut(t *testing.T) {
	f := serve(t, nil)
	f.server.SetBodyTime(300 * time.Millisecond)
	u, _ := url.Parse(f.url)
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /api/v1/agents/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := conn.Write([]byte("1\r\n{\r\n")); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	wantError(t, resp.StatusCode, string(body), http.StatusRequestTimeout, "not complete within")
	<-done // the server closed the connection
	if n := f.server.BytesInFlight(); n != 0 {
		t.Errorf("%d bytes still taken", n)
	}
	if in := f.server.Reports(); in.Refused[api.TooSlow] != 1 {
		t.Errorf("counted %+v", in)
	}
}

func TestAnEndlessBodyToAPageThatTakesNoneIsCutToo(t *testing.T) {
	f := serve(t, nil)
	u, _ := url.Parse(f.url)
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /api/v1/ping HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\nx")
	conn.SetReadDeadline(time.Now().Add(25 * time.Second))
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("the connection is still open: %v", err)
	}
}

func TestCompressedBodiesAreRefused(t *testing.T) {
	f := serve(t, nil)
	status, body := f.post("/api/v1/agents/a", "{}", "Content-Encoding", "gzip")
	wantError(t, status, body, http.StatusUnsupportedMediaType, "gzip")
}

func TestTooManyLargeAnswersAtOnceAreToldToComeAgain(t *testing.T) {
	f := serve(t, nil)
	free := f.server.TakeAnswerSlots()
	status, body, header := f.do("GET", "/api/v1/matrix", nil)
	wantError(t, status, body, http.StatusServiceUnavailable, "try again")
	if header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if status, _ := f.get("/api/v1/connectivity_check"); status != 200 {
		t.Errorf("the check waits for large answers: %d", status)
	}
	free()
	if status, _ := f.get("/api/v1/matrix"); status != 200 {
		t.Errorf("status %d with slots free", status)
	}
}

func TestAPanicIsOneRequests500(t *testing.T) {
	f := serve(t, func(c *api.Config) {
		c.Findings = func() []diagnose.Finding { panic("boom") }
	})
	status, body := f.get("/api/v1/findings")
	wantError(t, status, body, 500, "internal error")
	mustContain(t, f.log.String(), "request panicked", "boom")
	if status, _ := f.get("/healthz"); status != 200 {
		t.Error("the server is gone")
	}
}

func TestFiguresThatCannotBeStayOutOfTheSeries(t *testing.T) {
	f := serve(t, nil)
	probes := []probe.HTTPResult{
		{URL: "u", ConnectionResult: 1, HTTPCode: 200, Total: 5},
		{URL: "u", ConnectionResult: 7, HTTPCode: -3, Total: 9223372036854, Connect: -1, DNSLookup: 86_400_000},
	}
	for i := range 100 {
		probes = append(probes, probe.HTTPResult{URL: fmt.Sprint(i)})
	}
	body, _ := json.Marshal(api.Report{NodeName: "n1", NetworkProbes: probes})
	f.post("/api/v1/agents/netchecker-agent-hostnet-1", string(body))
	series, err := f.server.AgentSeries(t.Context())
	if err != nil || len(series) != 1 || series[0].Label != "n1-host_network" || len(series[0].Probes) != 64 {
		t.Fatalf("%v %+v", err, series)
	}
	p := series[0].Probes[0]
	if !math.IsNaN(p.ConnectionResult) || !math.IsNaN(p.HTTPCode) || !math.IsNaN(p.Total) || !math.IsNaN(p.Connect) || p.DNSLookup != 86_400_000 {
		t.Errorf("%+v", p)
	}
}

func TestTheLongestNameCanBeAskedFor(t *testing.T) {
	f := serve(t, nil)
	a := testAgent(1, mesh.Host)
	a.Node = strings.Repeat("n", mesh.MaxName)
	c := newCluster(t, 0)
	c.agents = append(c.agents, a)
	c.registry.Alive(a, epoch)
	f.setRoster(c.registry.Roster())
	if status, body := f.get("/api/v1/matrix?source=" + a.Node); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if status, body := f.get("/api/v1/matrix?source=" + a.Node + "n"); status != 400 || len(body) > 200 {
		t.Errorf("%d %s", status, body)
	}
}
