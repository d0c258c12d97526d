package api

import (
	"encoding/json"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strconv"
	"time"

	"netchecker/mesh"
	"netchecker/mesh/diagnose"
	"netchecker/probe"
)

// writeJSON writes the matrix with the keys of the contract.
func (m *snapshot) writeJSON(w io.Writer) error {
	j := &jsonBuf{b: make([]byte, 0, chunk+chunk/4), out: w}
	j.raw(`{"generated_at":`)
	j.time(m.view.Generated)
	j.raw(`,"state":"`)
	j.raw(m.view.State().String())
	j.raw(`","nodes":[`)
	m.nodesJSON(j)
	j.raw(`],"paths":{`)
	j.counts(m.view)
	j.raw(`},"pairs":[`)
	m.pairs(j)
	j.raw(`],"findings":`)
	if err := j.findings(m.findings); err != nil {
		return err
	}
	j.raw("}\n")
	j.flush(true)
	return nil // a reader who went away needs no error
}

func (j *jsonBuf) findings(list []diagnose.Finding) error {
	if len(list) == 0 {
		j.raw("[]")
		return nil
	}
	body, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("findings: %w", err)
	}
	j.b = append(j.b, body...)
	return nil
}

// nodesJSON writes the nodes with their agents, which the view lists side by side.
func (m *snapshot) nodesJSON(j *jsonBuf) {
	for i := 0; i < len(m.agents); {
		first, end := &m.agents[i], i+1
		for end < len(m.agents) && m.agents[end].Node == first.Node {
			end++
		}
		if i > 0 {
			j.raw(",")
		}
		j.raw(`{"name":`)
		j.text(first.Node)
		j.raw(`,"zone":`)
		zone := slices.IndexFunc(m.agents[i:end], func(a mesh.AgentView) bool { return a.Zone != "" })
		j.text(m.agents[i+max(zone, 0)].Zone)
		if facts, known := m.nodes[first.Node]; known && !facts.Gone {
			j.raw(`,"schedulable":` + strconv.FormatBool(!facts.Cordoned) + `,"ready":` + strconv.FormatBool(!facts.NotReady))
		}
		j.raw(`,"agents":{`)
		for n := i; n < end; n++ {
			if n > i {
				j.raw(",")
			}
			m.agent(j, &m.agents[n])
		}
		j.raw("}}")
		i = end
		if !j.flush(false) {
			return
		}
	}
}

func (m *snapshot) agent(j *jsonBuf, a *mesh.AgentView) {
	j.text(a.Network.String())
	j.raw(`:{"name":`)
	j.text(a.Name)
	j.raw(`,"address":`)
	j.text(addressOf(a))
	if a.IPv4.IsValid() && a.IPv6.IsValid() {
		j.raw(`,"ipv6":`)
		j.text(a.IPv6.String())
	}
	j.raw(`,"state":"`)
	j.raw(a.Report.String())
	j.raw(`","last_report":`)
	j.time(a.LastReport)
	j.raw(`,"via":`)
	j.text(a.Via)
	if m.leaving[a.Name] {
		j.raw(`,"terminating":true`)
	}
	if a.Doubt != 0 {
		j.raw(`,"doubt":`)
		j.text(a.Doubt.String())
	}
	if c, ok := m.conflicts[a.Name]; ok {
		j.raw(`,"address_conflict":`)
		j.text(c.Second.String())
	}
	j.raw(`,"services":[`)
	for i := range a.Services {
		if i > 0 {
			j.raw(",")
		}
		j.service(&a.Services[i], a.LastReport)
	}
	j.raw("]}")
}

// addressOf is an agent's address, "" where nobody knows it: a pod that was never heard of has none.
func addressOf(a *mesh.AgentView) string {
	if addr := a.Primary(); addr.IsValid() {
		return addr.String()
	}
	return ""
}

func (j *jsonBuf) service(s *probe.Service, at time.Time) {
	j.raw(`{"name":`)
	j.text(s.Name)
	j.raw(`,"kind":`)
	j.text(s.Kind)
	j.raw(`,"address":`)
	j.text(s.Address)
	j.raw(`,"state":"`)
	j.raw(s.State.String())
	j.raw(`","since":`)
	if s.Age > 0 && !at.IsZero() {
		j.time(at.Add(-s.Age))
	} else {
		j.raw("null")
	}
	j.loss(`,"loss":`, s.Loss)
	if s.RTT > 0 {
		j.raw(`,"rtt_ms":`)
		j.millis(s.RTT)
	}
	if s.Code != probe.CodeNone {
		j.raw(`,"error":`)
		j.text(s.Code.String())
	}
	if s.Detail != "" {
		j.raw(`,"detail":`)
		j.text(s.Detail)
	}
	j.raw("}")
}

func (m *snapshot) pairs(j *jsonBuf) {
	first := true
	for p := range m.view.Paths(m.query.filter) {
		if !first {
			j.raw(",")
		}
		first = false
		j.pair(&p)
		if !j.flush(false) {
			return
		}
	}
}

func (j *jsonBuf) pair(p *mesh.Path) {
	j.raw(`{"source":`)
	j.text(p.Source.Node)
	j.raw(`,"destination":`)
	j.text(p.Destination.Node)
	j.raw(`,"path":"`)
	j.raw(p.Kind().String())
	j.raw(`","family":"`)
	j.raw(p.Family.String())
	j.raw(`","state":"`)
	j.raw(p.State.String())
	j.raw(`","since":`)
	j.time(p.Since)
	j.raw(`,"probes":{"udp":`)
	j.probe(&p.Probes[probe.UDP])
	j.raw(`,"mtu":`)
	j.probe(&p.Probes[probe.MTU])
	j.raw(`,"tcp":`)
	j.probe(&p.Probes[probe.TCP])
	j.raw(`,"icmp":`)
	j.probe(&p.Probes[probe.ICMP])
	j.raw("}}")
}

// probe writes what is known of one probe; what is not is left out.
func (j *jsonBuf) probe(s *probe.Status) {
	j.raw(`{"state":"`)
	j.raw(s.State.String())
	j.raw(`"`)
	j.loss(`,"loss":`, s.Loss)
	j.loss(`,"forward_loss":`, s.Forward)
	j.loss(`,"return_loss":`, s.Return)
	if s.RTT > 0 {
		j.raw(`,"rtt_ms":`)
		j.millis(s.RTT)
	}
	if s.Code != probe.CodeNone {
		j.raw(`,"error":"`)
		j.raw(s.Code.String())
		j.raw(`"`)
	}
	if s.BadFlows != 0 {
		j.raw(`,"bad_flows":"`)
		j.raw(badFlows(s.BadFlows))
		j.raw(`","dead_flows":[`)
		j.flows(s.BadFlows)
		j.raw("]")
	}
	if s.MaxBytes > 0 {
		j.raw(`,"max_bytes":`)
		j.int(int(s.MaxBytes))
	}
	j.raw("}")
}

// flows lists the source ports that lose everything, by number from 0.
func (j *jsonBuf) flows(set uint16) {
	for first := true; set != 0; set &= set - 1 {
		if !first {
			j.raw(",")
		}
		first = false
		j.int(bits.TrailingZeros16(set))
	}
}

// badFlows says how many of the source ports lose everything, for instance "3 of 16".
func badFlows(set uint16) string {
	return strconv.Itoa(bits.OnesCount16(set)) + " of 16"
}
