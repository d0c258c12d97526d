// Package metrics shows the server and the agents to Prometheus. Its collectors make every series
// out of what exists at the moment of the scrape, so nothing is kept twice and no series outlives
// its node; only round trips, which pass by, are kept in histograms.
//
// It reads no clock and knows neither gossip nor the probe engine: cmd hands it snapshots.
package metrics
