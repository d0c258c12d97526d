package metrics

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"netchecker/api"
)

// The series of the original server, with its names and labels: alert rules rely on them.
var (
	reportCount = prometheus.NewDesc("ncagent_report_count_total",
		"Total number of reports (keepalive messages) from the agent.", []string{"agent"}, nil)
	errorCount = prometheus.NewDesc("ncagent_error_count_total",
		"Total number of errors (keepalive miss count) for the agent.", []string{"agent"}, nil)
	httpProbes = [...]struct {
		desc  *prometheus.Desc
		value func(*api.ProbeSeries) float64
	}{
		{httpProbe("ncagent_http_probe_connection_result", "Connection result: 0 - error, 1 - success."),
			func(p *api.ProbeSeries) float64 { return p.ConnectionResult }},
		{httpProbe("ncagent_http_probe_code", "HTTP status code, 0 if there was no answer."),
			func(p *api.ProbeSeries) float64 { return p.HTTPCode }},
		{httpProbe("ncagent_http_probe_total_time_ms", "Total duration of the HTTP request in ms."),
			func(p *api.ProbeSeries) float64 { return p.Total }},
		{httpProbe("ncagent_http_probe_content_transfer_time_ms", "Time from the first byte of the answer to the last in ms."),
			func(p *api.ProbeSeries) float64 { return p.ContentTransfer }},
		{httpProbe("ncagent_http_probe_tcp_connection_time_ms", "Time of the TCP handshake in ms."),
			func(p *api.ProbeSeries) float64 { return p.TCPConnection }},
		{httpProbe("ncagent_http_probe_dns_lookup_time_ms", "Time of the DNS lookup in ms."),
			func(p *api.ProbeSeries) float64 { return p.DNSLookup }},
		{httpProbe("ncagent_http_probe_connect_time_ms", "Time until the connection stood, with the lookup, in ms."),
			func(p *api.ProbeSeries) float64 { return p.Connect }},
		{httpProbe("ncagent_http_probe_server_processing_time_ms", "Time from the request to the first byte of the answer in ms."),
			func(p *api.ProbeSeries) float64 { return p.ServerProcessing }},
	}
)

func httpProbe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"agent", "url"}, nil)
}

func collectOriginal(ch chan<- prometheus.Metric, agents []api.AgentSeries) {
	for i := range agents {
		a := &agents[i]
		ch <- prometheus.MustNewConstMetric(reportCount, prometheus.CounterValue, float64(a.Reports), a.Label)
		ch <- prometheus.MustNewConstMetric(errorCount, prometheus.CounterValue, float64(a.Missed), a.Label)
		for j := range a.Probes {
			for _, p := range httpProbes {
				if v := p.value(&a.Probes[j]); !math.IsNaN(v) {
					ch <- prometheus.MustNewConstMetric(p.desc, prometheus.GaugeValue, v, a.Label, a.Probes[j].URL)
				}
			}
		}
	}
}
