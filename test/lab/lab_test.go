package lab_test

import (
	"os"
	"testing"

	"netchecker/test/lab"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
}

func TestHealthyNetworkAnswersOnEveryPath(t *testing.T) {
	r := startRig(t, lab.Config{Nodes: 5, Zones: 2})
	r.check(t, "")
}
