package agent

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net"
	"net/url"
	"time"

	"netchecker/api"
	"netchecker/probe/evidence"
	"netchecker/probe/service"
)

// sendReports sends the original agent's report every interval: what old consumers of the server
// read. The first goes out at once, jittered, so that connectivity_check need not wait a minute.
func (a *Agent) sendReports(ctx context.Context) error {
	wait := rand.N(min(2*time.Second, a.cfg.ReportInterval))
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		began := time.Now()
		a.deliverReport(ctx)
		wait = max(a.cfg.ReportInterval-time.Since(began), 0)
	}
}

// report is the original report, with the zeros that -zeroextenderlength asks for.
type report struct {
	api.Report
	ZeroExtender []int8 `json:"zero_extender"`
}

// makeReport probes what a report is about. It takes at most nine tenths of the interval.
func (a *Agent) makeReport(ctx context.Context) ([]byte, error) {
	timeout := min(a.cfg.ReportInterval*9/10, 10*time.Second)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r := report{ZeroExtender: make([]int8, a.cfg.ZeroExtender)}
	r.Report = api.Report{ReportInterval: int64(a.cfg.ReportInterval / time.Second), NodeName: a.cfg.Node, PodName: a.cfg.Pod,
		Network: a.cfg.Network.String(), NetworkProbes: service.HTTPAll(ctx, a.probeURLs(), timeout, a.trust.roots()), LookupHost: service.Lookup(ctx, a.lookups())}
	var err error
	if r.IPs, err = evidence.Interfaces(); err != nil {
		a.log.Warn("report without interfaces", "error", err)
	}
	if up, err := evidence.Uptime(); err == nil {
		r.Uptime = uint64(up / time.Second)
	}
	r.HostDate = time.Now().UTC()
	return json.Marshal(r)
}

// probeURLs are the server's ping, which the original agent always probes, and those of -probeurls.
func (a *Agent) probeURLs() []string {
	scheme := "http://"
	if a.cfg.ServerCA != "" {
		scheme = "https://"
	}
	return append([]string{scheme + a.cfg.ServerEndpoint + "/api/v1/ping"}, a.cfg.ProbeURLs...)
}

// lookups are the names in the probed URLs.
func (a *Agent) lookups() (out []string) {
	seen := map[string]bool{}
	for _, text := range a.probeURLs() {
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" || net.ParseIP(u.Hostname()) != nil || seen[u.Hostname()] {
			continue
		}
		seen[u.Hostname()] = true
		out = append(out, u.Hostname())
	}
	return out
}
