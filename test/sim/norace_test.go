//go:build !race

package sim_test

// The size of the clusters that faults are tried on, and of the one that is watched for half an hour.
const usualNodes, churnNodes = 12, 6
