package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"netchecker/mesh"
	"netchecker/probe"
)

// Report is the original agent's report, with its JSON names and their order. Fields that are not
// named here, the agent's zero_extender among them, are kept out.
type Report struct {
	// ReportInterval is the time between two reports in seconds, as the agent says; see Interval.
	ReportInterval int64  `json:"report_interval"`
	NodeName       string `json:"nodename"`
	PodName        string `json:"podname"`
	// HostDate is the agent's clock when it made the report.
	HostDate time.Time `json:"hostdate"`
	// LastUpdated is the server's clock when the report came; the server alone sets it.
	LastUpdated time.Time `json:"last_updated,omitzero"`
	// LookupHost holds the addresses of each looked-up name, IPs those of each interface, as CIDRs.
	LookupHost    map[string][]string `json:"nslookup"`
	NetworkProbes []probe.HTTPResult  `json:"network_probes"`
	IPs           map[string][]string `json:"ips"`
	// Uptime is that of the agent's host in seconds.
	Uptime uint64 `json:"uptime"`
	// Network is "pod" or "host"; the original agents leave it out.
	Network string `json:"network,omitempty"`
}

// Record is a report as the server keeps it. It is immutable: stores and readers share it.
type Record struct {
	// Name is the pod's name, under which the report was posted.
	Name string
	Report
	// Authenticated says that the report was signed with a key we hold.
	Authenticated bool
}

const (
	// MaxReport is the most bytes of a posted report: the padding that the agent may be told to add
	// (-zeroextenderlength) fits in with room to spare.
	MaxReport = 1 << 20
	// maxKept is the most that one report may cost the server's memory, in bytes.
	maxKept = 128 << 10
	// defaultInterval stands for an interval that is missing or not positive.
	defaultInterval = time.Minute
	maxInterval     = 24 * time.Hour
)

// Interval is how often the agent reports: what it says, within 1 second and 24 hours, and a minute
// where it says nothing sensible. An interval of years would keep a dead agent in good standing.
func (r *Report) Interval() time.Duration {
	if r.ReportInterval <= 0 {
		return defaultInterval
	}
	return time.Duration(min(r.ReportInterval, int64(maxInterval/time.Second))) * time.Second
}

// DecodeReport reads the report posted under name. Its errors say what is wrong with body; it never
// panics. A report that names another pod than the one it is posted for is refused: it would be
// stored under one name and counted under another.
func DecodeReport(name string, body []byte) (*Report, error) {
	r := &Report{}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(r); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("cut short")
		}
		return nil, fmt.Errorf("report from %q: %w", name, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("report from %q: something follows the JSON object", name)
	}
	r.LastUpdated = time.Time{}
	if r.PodName == "" {
		r.PodName = name
	}
	if r.PodName != name {
		return nil, fmt.Errorf("report from %q: podname is %q", name, clip(r.PodName))
	}
	if r.NodeName != "" {
		if err := mesh.CheckName("nodename", r.NodeName); err != nil {
			return nil, fmt.Errorf("report from %q: %w", name, err)
		}
	}
	if r.Network != "" {
		if _, err := mesh.ParseNetwork(r.Network); err != nil {
			return nil, fmt.Errorf("report from %q: %w", name, err)
		}
	}
	if size := r.size(); size > maxKept {
		return nil, fmt.Errorf("report from %q: %d bytes to keep, at most %d are allowed", name, size, maxKept)
	}
	return r, nil
}

// clip keeps what somebody sent from flooding an error or a log line.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}

// size is what the report takes in memory, roughly.
func (r *Report) size() int {
	n := 256
	for _, m := range []map[string][]string{r.LookupHost, r.IPs} {
		for name, list := range m {
			n += 48 + len(name)
			for _, s := range list {
				n += 16 + len(s)
			}
		}
	}
	for i := range r.NetworkProbes {
		n += 80 + len(r.NetworkProbes[i].URL)
	}
	return n
}
