package metrics

import "github.com/prometheus/client_golang/prometheus"

var (
	good = prometheus.NewDesc("netchecker_path_up", "", nil, nil)
	old  = prometheus.NewDesc("ncagent_report_count_total", "", nil, nil)
	bad  = prometheus.NewDesc("path_up", "", nil, nil)
	opts = prometheus.GaugeOpts{Name: "netchecker-up"}
)
