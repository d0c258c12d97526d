package metrics

import (
	"context"
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"netchecker/api"
	"netchecker/mesh"
	"netchecker/mesh/diagnose"
	"netchecker/probe"
)

// Source is what the server's metrics are made of: an *api.Server.
type Source interface {
	View() *mesh.View
	AgentSeries(ctx context.Context) ([]api.AgentSeries, error)
	Reports() api.Intake
	Rows() api.Intake
	StoreErr() error
	PodsStale() error
	StoreStats() api.StoreStats
	Conflicts() map[string]api.Conflict
	Findings() []diagnose.Finding
	HistoryErr() error
	Enrolments() api.Enrolments
}

// ServerCollector collects the server's metrics.
type ServerCollector struct {
	source    Source
	version   string
	pairNodes int
}

// NewServerCollector returns the collector over source. Every path has series of its own up to
// pairNodes nodes; beyond, only those that are not ok have.
func NewServerCollector(source Source, version string, pairNodes int) *ServerCollector {
	return &ServerCollector{source, version, pairNodes}
}

// Server returns the handler of the server's /metrics: the collector's, the process's and Go's own.
func Server(source Source, version string, pairNodes int) http.Handler {
	return handler(NewServerCollector(source, version, pairNodes))
}

func handler(own prometheus.Collector) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(own, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return expose(registry)
}

// expose serves a registry. One series that cannot be must not take all others away.
func expose(registry *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

var (
	buildInfo = prometheus.NewDesc("netchecker_build_info",
		"Always 1; the label says which program this is.", []string{"version"}, nil)
	paths = prometheus.NewDesc("netchecker_paths",
		"Number of paths by kind and state.", []string{"path", "state"}, nil)
	agents = prometheus.NewDesc("netchecker_agents",
		"Number of agents that should exist, by network and by what the server knows of their rows.", []string{"network", "state"}, nil)
	serviceUp = prometheus.NewDesc("netchecker_service_up",
		"1 when the agent's last probes of the service came back, 0 when they are lost in a row; absent when nobody fresh says.",
		[]string{"node", "network", "service", "kind"}, nil)
	conflicts = prometheus.NewDesc("netchecker_address_conflicts",
		"Number of agents under whose name a second address reported within the last ten minutes.", nil, nil)
	storeUp = prometheus.NewDesc("netchecker_store_up",
		"1 while the store keeps the reports, 0 while they are in memory only or lost.", nil, nil)
	historyUp = prometheus.NewDesc("netchecker_history_up",
		"0 while what happens cannot be written to the history, else 1.", nil, nil)
	podsCurrent = prometheus.NewDesc("netchecker_pods_current",
		"1 while the list of the agents that should exist is current, 0 while the API server of Kubernetes does not renew it or never told it.", nil, nil)
	rowsAccepted = prometheus.NewDesc("netchecker_rows_accepted_total",
		"Rows taken from agents.", nil, nil)
	rowsRelayed = prometheus.NewDesc("netchecker_rows_relayed_total",
		"Rows taken that arrived through a peer of the agent.", nil, nil)
	rowsBytes = prometheus.NewDesc("netchecker_rows_received_bytes_total",
		"Bytes of rows taken, compressed as they came.", nil, nil)
	rowsRefused = prometheus.NewDesc("netchecker_rows_refused_total",
		"Rows not taken, by reason.", []string{"reason"}, nil)
	reportsAccepted = prometheus.NewDesc("netchecker_reports_accepted_total",
		"Reports taken from agents.", nil, nil)
	reportsRelayed = prometheus.NewDesc("netchecker_reports_relayed_total",
		"Reports taken that arrived through a peer of the agent.", nil, nil)
	reportsBytes = prometheus.NewDesc("netchecker_reports_received_bytes_total",
		"Bytes of reports taken.", nil, nil)
	reportsRefused = prometheus.NewDesc("netchecker_reports_refused_total",
		"Reports not taken, by reason.", []string{"reason"}, nil)
)

// Describe implements prometheus.Collector. It describes nothing: which series there are changes
// with the cluster, and such a collector is unchecked.
func (c *ServerCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *ServerCollector) Collect(ch chan<- prometheus.Metric) {
	gauge(ch, buildInfo, 1, c.version)
	series, err := c.source.AgentSeries(context.Background())
	unlisted := errors.Is(err, api.ErrPodsUnknown) // which is no fault of the store
	if err == nil || unlisted {
		err = c.source.StoreErr()
	}
	gauge(ch, storeUp, truth(err == nil))
	gauge(ch, podsCurrent, truth(!unlisted && c.source.PodsStale() == nil))
	collectStore(ch, c.source.StoreStats())
	gauge(ch, historyUp, truth(c.source.HistoryErr() == nil))
	collectOriginal(ch, series)
	view := c.source.View()
	counts := view.Counts()
	collectCounts(ch, &counts)
	known := view.Agents()
	collectAgents(ch, known)
	collectNodes(ch, view, known)
	collectPairs(ch, view, &counts, countNodes(known) <= c.pairNodes)
	collectFindings(ch, c.source.Findings())
	gauge(ch, conflicts, float64(len(c.source.Conflicts())))
	collectIntake(ch, c.source.Rows(), rowsAccepted, rowsRelayed, rowsBytes, rowsRefused)
	collectIntake(ch, c.source.Reports(), reportsAccepted, reportsRelayed, reportsBytes, reportsRefused)
	collectEnrolments(ch, c.source.Enrolments())
}

func gauge(ch chan<- prometheus.Metric, desc *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, labels...)
}

func counter(ch chan<- prometheus.Metric, desc *prometheus.Desc, v uint64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(v), labels...)
}

func truth(v bool) float64 {
	if v {
		return 1
	}
	return 0
}

func collectCounts(ch chan<- prometheus.Metric, all *[mesh.PathKinds]mesh.Counts) {
	for k := range all {
		for state, n := range all[k].ByState {
			gauge(ch, paths, float64(n), mesh.PathKind(k).String(), probe.State(state).String())
		}
	}
}

func collectAgents(ch chan<- prometheus.Metric, known []mesh.AgentView) {
	var count [mesh.Networks][mesh.ReportLeft + 1]int
	for i := range known {
		a := &known[i]
		count[a.Network&1][min(a.Report, mesh.ReportLeft)]++
		if a.Report == mesh.Reporting {
			collectServices(ch, a)
		}
	}
	for network := range mesh.Network(mesh.Networks) {
		for state, n := range count[network] {
			gauge(ch, agents, float64(n), network.String(), mesh.ReportState(state).String())
		}
	}
}

func collectServices(ch chan<- prometheus.Metric, a *mesh.AgentView) {
	seen := make(map[[2]string]bool, len(a.Services))
	for i := range a.Services {
		s := &a.Services[i]
		key := [2]string{s.Name, s.Kind}
		if s.State == probe.Unknown || seen[key] {
			continue // a series that is there twice would cost the reader all of them
		}
		seen[key] = true
		gauge(ch, serviceUp, truth(s.State != probe.Failing), a.Node, a.Network.String(), valid(s.Name), valid(s.Kind))
	}
}

func countNodes(known []mesh.AgentView) (n int) {
	for i := range known {
		if i == 0 || known[i].Node != known[i-1].Node {
			n++
		}
	}
	return n
}

func collectIntake(ch chan<- prometheus.Metric, in api.Intake, accepted, relayed, size, refused *prometheus.Desc) {
	counter(ch, accepted, in.Accepted)
	counter(ch, relayed, in.Relayed)
	counter(ch, size, in.Bytes)
	for r, n := range in.Refused {
		counter(ch, refused, n, api.Refusal(r).String())
	}
}
