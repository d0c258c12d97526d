package agent_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"netchecker/cmd/server"
	"netchecker/probe"
	"netchecker/probe/service"
)

// asks waits until a server's matrix shows that the first agent asks these services and no others, in
// whatever order.
func (m *trusted) asks(number byte, want ...string) {
	m.t.Helper()
	get(m.t, "http://"+endpoint(number)+"/api/v1/matrix", func(_ int, body []byte) bool {
		var matrix struct {
			Nodes []struct {
				Agents map[string]struct{ Services []struct{ Name string } }
			}
		}
		if json.Unmarshal(body, &matrix) != nil || len(matrix.Nodes) == 0 {
			return false
		}
		var names []string
		for _, s := range matrix.Nodes[0].Agents["pod"].Services {
			names = append(names, s.Name)
		}
		slices.Sort(names)
		return slices.Equal(names, want)
	})
	if m.t.Failed() {
		m.t.FailNow() // else each further look would wait as long
	}
}

// naming is a server that has agents ask for itself by that name.
func naming(name string) func(*server.Config) {
	return func(c *server.Config) {
		c.Services = []service.Target{{Name: name, Kind: probe.ServiceTCP, Address: c.Endpoint}}
	}
}

func TestEachServersServicesAreAskedWhateverTheOthersName(t *testing.T) {
	m := newTrusted(t)
	stopFirst := m.server(8, naming("first"))
	for i := range 2 {
		m.agent(i, nil)
	}
	m.asks(8, "first")

	m.server(9, nil)
	m.whole(9, 2) // both agents have had its answers
	for range 12 {
		time.Sleep(250 * time.Millisecond)
		m.asks(8, "first")
		m.asks(9, "first")
	}
	m.server(10, naming("second"))
	m.asks(8, "first", "second")
	m.asks(9, "first", "second")

	stopFirst()
	m.server(8, nil) // started again, it names none
	m.asks(8, "second")
}
