package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"netchecker/api"
)

var (
	storeWrites = prometheus.NewDesc("netchecker_store_writes_total",
		"Reports written to the store and removed from it.", []string{"store"}, nil)
	storeErrors = prometheus.NewDesc("netchecker_store_errors_total",
		"Attempts to write to the store that went wrong.", []string{"store"}, nil)
	storeUnwritten = prometheus.NewDesc("netchecker_store_unwritten",
		"Number of agents whose last report is not in the store yet.", []string{"store"}, nil)
	storeAge = prometheus.NewDesc("netchecker_store_oldest_unwritten_seconds",
		"How long the oldest report that is not in the store yet has waited, 0 when all are.", []string{"store"}, nil)
)

// collectStore says how far the store is behind; memory writes nothing and has no such series.
func collectStore(ch chan<- prometheus.Metric, st api.StoreStats) {
	if st.Bound == 0 {
		return
	}
	counter(ch, storeWrites, st.Writes, st.Kind)
	counter(ch, storeErrors, st.Errors, st.Kind)
	gauge(ch, storeUnwritten, float64(st.Unwritten), st.Kind)
	gauge(ch, storeAge, st.Age.Seconds(), st.Kind)
}
