package api_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/mesh"
	"netchecker/probe"
)

var (
	secret      = []byte("0123456789abcdef0123456789abcdef")
	otherSecret = []byte("fedcba9876543210fedcba9876543210")
)

func serveSecret(t testing.TB, secrets ...[]byte) *face {
	return serve(t, func(c *api.Config) {
		keys := api.NewKeys(secrets...)
		c.Auth, c.Keys, c.MeshKeys = api.AuthSecret, keys, keys
	})
}

// postSigned posts a row as its agent does.
func postSigned(f *face, c *cluster, keys *api.Keys, row *mesh.Row, headers ...string) (int, string) {
	body := c.encode(row, true)
	s := keys.Sign(api.ForRow, row.Source.Name, row.Source.Boot, row.Sequence, body)
	return f.post(rowPath(row.Source), string(body), append(headers, api.SignatureHeader, s.String())...)
}

func TestSignedRowsAreTakenOnce(t *testing.T) {
	f, c, keys := serveSecret(t, secret), newCluster(t, 2), api.NewKeys(secret)
	a := c.agents[0]
	row := c.row(a, nil)
	body := c.encode(row, false)
	header := keys.Sign(api.ForRow, a.Name, a.Boot, row.Sequence, body).String()
	status, answer := f.post(rowPath(a), string(body), api.SignatureHeader, header)
	wantError(t, status, answer, 409, "unknown destination table")
	if status, answer := postSigned(f, c, keys, row); status != 200 {
		t.Fatalf("the same number with the table: %d %s", status, answer)
	}
	if status, answer := postSigned(f, c, keys, row); status != 200 {
		t.Errorf("the very same message again, as a hedged one: %d %s", status, answer)
	}
	if in := f.server.Rows(); in.Accepted != 1 {
		t.Errorf("taken %d times", in.Accepted)
	}
	row2 := c.row(a, nil)
	postSigned(f, c, keys, row2)
	status, answer = postSigned(f, c, keys, row)
	wantError(t, status, answer, 403, "was taken before")
	if in := f.server.Rows(); in.Accepted != 2 || in.Refused[api.Replayed] != 1 {
		t.Errorf("counted %+v", in)
	}
}

func TestRunsSupersedeEachOther(t *testing.T) {
	f, c, keys := serveSecret(t, secret), newCluster(t, 2), api.NewKeys(secret)
	first := c.agents[0]
	second, third := first, first
	second.Boot, third.Boot = 2000, 1500
	postSigned(f, c, keys, c.row(first, nil))
	f.pass(time.Second)
	if status, body := postSigned(f, c, keys, c.row(second, nil)); status != 200 {
		t.Fatalf("a restart: %d %s", status, body)
	}
	status, body := postSigned(f, c, keys, c.row(first, nil))
	wantError(t, status, body, 403, "a later one replaced")
	status, body = postSigned(f, c, keys, c.row(third, nil))
	wantError(t, status, body, 403, "earlier run than the one that reports")
	f.pass(10 * time.Second)
	if status, body := postSigned(f, c, keys, c.row(third, nil)); status != 200 {
		t.Errorf("a restart with the clock set back, once the other run is silent: %d %s", status, body)
	}
	status, body = postSigned(f, c, keys, c.row(second, nil))
	wantError(t, status, body, 403, "a later one replaced")
}

func TestSignaturesThatAreNotRightAreRefused(t *testing.T) {
	f, c, keys := serveSecret(t, secret), newCluster(t, 2), api.NewKeys(secret)
	a := c.agents[0]
	row := c.row(a, nil)
	body := string(c.encode(row, true))
	sign := func(k *api.Keys, p api.Purpose, name string, boot, seq uint64) string {
		return k.Sign(p, name, boot, seq, []byte(body)).String()
	}
	for _, x := range []struct {
		name, header string
		status       int
		words        []string
	}{
		{"none", "", 401, []string{"no Netchecker-Signature header"}},
		{"garbage", "v1 x y z", 401, []string{"signature"}},
		{"another version", strings.Replace(sign(keys, api.ForRow, a.Name, a.Boot, row.Sequence), "v1", "v2", 1), 401, []string{"v1"}},
		{"another secret", sign(api.NewKeys(otherSecret), api.ForRow, a.Name, a.Boot, row.Sequence), 403, []string{"wrong signature"}},
		{"another purpose", sign(keys, api.ForReport, a.Name, a.Boot, row.Sequence), 403, []string{"wrong signature"}},
		{"another name", sign(keys, api.ForRow, "agent-pod-2", a.Boot, row.Sequence), 403, []string{"wrong signature"}},
		{"another boot", sign(keys, api.ForRow, a.Name, a.Boot+1, row.Sequence), 400, []string{"signed as"}},
		{"another number", sign(keys, api.ForRow, a.Name, a.Boot, row.Sequence+1), 400, []string{"signed as"}},
	} {
		headers := []string{}
		if x.header != "" {
			headers = []string{api.SignatureHeader, x.header}
		}
		status, answer := f.post(rowPath(a), body, headers...)
		t.Run(x.name, func(t *testing.T) { wantError(t, status, answer, x.status, x.words...) })
	}
	status, answer := f.post(rowPath(a), string(flip([]byte(body), 50)), api.SignatureHeader, sign(keys, api.ForRow, a.Name, a.Boot, row.Sequence))
	wantError(t, status, answer, 403, "wrong signature")
	if len(f.server.View().Agents()) != 0 || f.server.Rows().Accepted != 0 {
		t.Error("something was taken")
	}
}

func TestBothSecretsOfARotationAreAccepted(t *testing.T) {
	f, c := serveSecret(t, otherSecret, secret), newCluster(t, 2)
	for i, s := range [][]byte{secret, otherSecret} {
		if status, body := postSigned(f, c, api.NewKeys(s), c.row(c.agents[i], nil)); status != 200 {
			t.Errorf("secret %d: %d %s", i, status, body)
		}
	}
}

func TestASecondAddressUnderOneNameIsAConflict(t *testing.T) {
	f, c, keys := serveSecret(t, secret), newCluster(t, 2), api.NewKeys(secret)
	first := c.agents[0]
	second := first
	second.IPv4, second.Boot = netip.MustParseAddr("10.244.9.9"), 3000
	postSigned(f, c, keys, c.row(first, nil))
	status, body := postSigned(f, c, keys, c.row(second, nil))
	wantError(t, status, body, 403, "address conflict", "10.244.1.2", "10.244.9.9")
	if status, body := postSigned(f, c, keys, c.row(first, nil)); status != 200 {
		t.Errorf("the first address is locked out: %d %s", status, body)
	}
	_, matrix := f.get("/api/v1/matrix")
	mustContain(t, matrix, `"address_conflict":"10.244.9.9"`)
	_, text := f.get("/api/v1/matrix?format=text")
	mustContain(t, text, "address conflict: 10.244.1.2 and 10.244.9.9 report under the name agent-pod-1")
	mustContain(t, f.log.String(), "address conflict")
	if in := f.server.Rows(); in.Refused[api.AddressConflict] != 1 {
		t.Errorf("counted %+v", in)
	}
	f.pass(3 * time.Second)
	if status, body := postSigned(f, c, keys, c.row(second, nil)); status != 200 {
		t.Errorf("a new address once the old one is silent: %d %s", status, body)
	}
}

func TestUnsignedReportsNeedPermissionAndNeverReplaceSignedOnes(t *testing.T) {
	keys := api.NewKeys(secret)
	strict := serveSecret(t, secret)
	status, body := strict.post("/api/v1/agents/a", "{}")
	wantError(t, status, body, 401, "signed ones only")

	f := serve(t, func(c *api.Config) { c.Auth, c.Keys, c.AllowUnsigned = api.AuthSecret, keys, true })
	report := func(name, text string, seq uint64) (int, string) {
		s := keys.Sign(api.ForReport, name, 1000, seq, []byte(text))
		return f.post("/api/v1/agents/"+name, text, api.SignatureHeader, s.String())
	}
	if status, body := f.post("/api/v1/agents/old", "{}"); status != 200 {
		t.Errorf("an old agent: %d %s", status, body)
	}
	if status, body := report("new", `{"uptime":1}`, 1); status != 200 {
		t.Fatalf("signed: %d %s", status, body)
	}
	status, body = f.post("/api/v1/agents/new", `{"uptime":666}`)
	wantError(t, status, body, 403, "its reports are signed")
	status, body = report("new", `{"uptime":2}`, 1)
	wantError(t, status, body, 403, "taken before")
	mustContain(t, second(f.get("/api/v1/agents/new")), `"uptime":1`)
	c := newCluster(t, 2)
	status, body = f.post(rowPath(c.agents[0]), string(c.encode(c.row(c.agents[0], nil), true)))
	wantError(t, status, body, 401, "row of")
}

func TestNoAuthenticationIsOneWarningLine(t *testing.T) {
	f := serve(t, nil)
	if n := strings.Count(f.log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings: %s", n, f.log.String())
	}
	mustContain(t, f.log.String(), "no authentication")
}

func TestARelayIsBelievedOnlyWithTheMeshKey(t *testing.T) {
	f, c, keys := serveSecret(t, secret), newCluster(t, 2), api.NewKeys(secret)
	peer := mesh.Key{Node: "node2", Network: mesh.Host}
	via := func(k *api.Keys) string {
		row := c.row(c.agents[0], nil)
		body := c.encode(row, true)
		s := keys.Sign(api.ForRow, row.Source.Name, row.Source.Boot, row.Sequence, body).String()
		header := api.SignVia(k, peer, s, body).String()
		if status, answer := f.post(rowPath(row.Source), string(body), api.SignatureHeader, s, api.ViaHeader, header); status != 200 {
			t.Fatalf("%d %s", status, answer)
		}
		return f.server.View().Agents()[0].Via
	}
	if got := via(keys); got != "node2/host" {
		t.Errorf("via %q", got)
	}
	if got := via(api.NewKeys(otherSecret)); got != "" {
		t.Errorf("a stranger's word counts: via %q", got)
	}
	if in := f.server.Rows(); in.Relayed != 1 || in.Accepted != 2 {
		t.Errorf("counted %+v", in)
	}
}

func answerOf(t *testing.T, body string) (a api.RowAnswer) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return a
}

func TestAnAnswerTellsWhatTheAgentHasNotHeard(t *testing.T) {
	f := serve(t, nil)
	c := newCluster(t, 3)
	a := c.agents[0]
	f.setRoster(c.registry.Roster())
	f.server.SetZones(map[string]string{"node1": "a", "node2": "b"})
	f.server.SetServices([]api.ServiceTarget{{Name: "dns", Kind: probe.ServiceDNSUDP, Address: "10.96.0.10:53", Query: "x.svc"}})
	version := uint64(0)
	row := func() api.RowAnswer {
		t.Helper()
		status, body := f.post(rowPath(a)+"?roster="+json.Number(formatUint(version)).String(), string(c.encode(c.row(a, nil), true)))
		if status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		out := answerOf(t, body)
		version = out.Roster.Version
		return out
	}
	got := row()
	if !got.Roster.Full || len(got.Roster.Agents) != 6 || len(got.Zones) != 2 || got.Services == nil || len(*got.Services) != 1 || got.State == "" {
		t.Errorf("first: %+v", got)
	}
	for _, r := range got.Roster.Agents {
		if back, err := r.Agent(); err != nil || back.Name == "" || !back.Primary().IsValid() {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if got = row(); got.Roster.Full || len(got.Roster.Agents)+len(got.Zones)+len(got.Roster.Gone) != 0 || got.Services != nil {
		t.Errorf("nothing new: %+v", got)
	}
	moved := c.agents[3]
	moved.Name, moved.Boot = "agent-host-2-new", 5000
	c.registry.Alive(moved, f.clock())
	c.registry.Left(c.agents[3].Name, f.clock())
	f.setRoster(c.registry.Roster())
	f.server.NodesGone("node9", "node8")
	f.server.NodeBack("node8")
	f.server.SetZones(map[string]string{"node1": "a", "node2": "c"})
	f.server.SetServices(nil)
	got = row()
	if len(got.Roster.Agents) != 1 || got.Roster.Agents[0].Name != "agent-host-2-new" || strings.Join(got.Roster.Gone, ",") != "node9" ||
		len(got.Zones) != 1 || got.Zones["node2"] != "c" || got.Services == nil || len(*got.Services) != 0 {
		t.Errorf("changes: %+v", got)
	}
	f.server.NodesGone("node9") // whose agents died only now: it is told again, and once
	if got = row(); strings.Join(got.Roster.Gone, ",") != "node9" {
		t.Errorf("told again: %+v", got)
	}
	if got = row(); len(got.Roster.Gone) != 0 {
		t.Errorf("told for ever: %+v", got)
	}
	version += 1 << 40
	if got = row(); !got.Roster.Full || len(got.Roster.Agents) != 6 {
		t.Errorf("a version of another server: %+v", got)
	}
}

func TestNobodyIsToldOfNoServicesBeforeItIsKnown(t *testing.T) {
	f := serve(t, nil)
	c := newCluster(t, 2)
	f.setRoster(c.registry.Roster())
	told := func() *[]api.ServiceTarget {
		t.Helper()
		status, body := f.post(rowPath(c.agents[0])+"?roster=0", string(c.encode(c.row(c.agents[0], nil), true)))
		if status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		return answerOf(t, body).Services
	}
	if got := told(); got != nil {
		t.Errorf("told %+v", *got)
	}
	f.server.SetServices(nil)
	if got := told(); got == nil || len(*got) != 0 {
		t.Errorf("told %v, want that there is none", got)
	}
}

func formatUint(v uint64) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func TestALargeRosterIsToldInParts(t *testing.T) {
	f := serve(t, nil)
	c := newCluster(t, 250)
	for i := range c.agents {
		c.agents[i].Node += "x"
	}
	registry := mesh.NewRegistry(time.Hour, time.Minute)
	for n := range 700 {
		a := testAgent(1, mesh.Pod)
		a.Name, a.Node = "agent-"+formatUint(uint64(n)), "node"+formatUint(uint64(n))
		registry.Alive(a, epoch)
	}
	f.setRoster(registry.Roster())
	small := newCluster(t, 1)
	seen, version, posts := map[string]bool{}, uint64(0), 0
	for ; posts < 5; posts++ {
		status, body := f.post(rowPath(small.agents[0])+"?roster="+formatUint(version), string(small.encode(small.row(small.agents[0], nil), true)))
		if status != 200 || len(body) > 200_000 {
			t.Fatalf("%d, %d bytes", status, len(body))
		}
		got := answerOf(t, body)
		if got.Roster.Version == version {
			break
		}
		version = got.Roster.Version
		for _, a := range got.Roster.Agents {
			seen[a.Name] = true
		}
	}
	if len(seen) != 700 || posts != 2 {
		t.Errorf("%d agents in %d answers", len(seen), posts)
	}
}

func TestSightedHearsOfNewAndChangedAgentsOnly(t *testing.T) {
	var seen []string
	f := serve(t, func(c *api.Config) {
		c.Sighted = func(a mesh.Agent) { seen = append(seen, a.Name+" "+a.IPv4.String()) }
	})
	c := newCluster(t, 1)
	a := c.agents[0]
	for range 3 {
		f.post(rowPath(a), string(c.encode(c.row(a, nil), true)))
	}
	a.IPv4 = netip.MustParseAddr("10.244.5.5")
	f.post(rowPath(a), string(c.encode(c.row(a, nil), true)))
	if got := strings.Join(seen, ","); got != "agent-pod-1 10.244.1.2,agent-pod-1 10.244.5.5" {
		t.Error(got)
	}
}

func TestAgentsBeyondTheLimitAreRefused(t *testing.T) {
	f := serve(t, func(c *api.Config) { c.MaxAgents = 3 })
	c := newCluster(t, 2)
	for i, a := range c.agents {
		status, body := f.post(rowPath(a), string(c.encode(c.row(a, nil), true)))
		if i < 3 && status != 200 || i == 3 && status != 503 {
			t.Errorf("agent %d: %d %s", i, status, body)
		}
		status, body = f.post("/api/v1/agents/"+a.Name, "{}")
		if i < 3 && status != 200 || i == 3 && status != 503 {
			t.Errorf("report %d: %d %s", i, status, body)
		}
	}
}
