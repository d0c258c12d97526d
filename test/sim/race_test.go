//go:build race

package sim_test

// Clusters are smaller under the race detector, which makes a probe cost eight times as much: those
// that faults are tried on, and the one that is watched for half an hour.
const usualNodes, churnNodes = 6, 4
