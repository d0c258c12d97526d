package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"netchecker/api"
)

var (
	enrolmentsAccepted = prometheus.NewDesc("netchecker_enrolments_accepted_total",
		"Agents that got a key of their own for the token of their pod.", nil, nil)
	enrolmentsRefused = prometheus.NewDesc("netchecker_enrolments_refused_total",
		"Requests to enrol that got no key, by reason; busy ones were told when to come again.", []string{"reason"}, nil)
	enrolmentsWaiting = prometheus.NewDesc("netchecker_enrolments_waiting",
		"Agents whose tokens are being reviewed, or that were told to come again at a time still ahead.", nil, nil)
)

// collectEnrolments says how agents get their keys; where none do there are no such series.
func collectEnrolments(ch chan<- prometheus.Metric, e api.Enrolments) {
	if !e.Enabled {
		return
	}
	counter(ch, enrolmentsAccepted, e.Granted)
	for r, n := range e.Refused {
		counter(ch, enrolmentsRefused, n, api.EnrolRefusal(r).String())
	}
	gauge(ch, enrolmentsWaiting, float64(e.Waiting))
}
