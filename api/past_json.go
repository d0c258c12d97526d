package api

import (
	"io"

	"netchecker/mesh/diagnose"
	"netchecker/probe"
)

func (s *Server) writeHistory(w io.Writer, q *ChangeQuery, page *ChangePage, found []diagnose.Finding) error {
	j := &jsonBuf{b: make([]byte, 0, chunk+chunk/4), out: w}
	since, until := s.cfg.History.Kept()
	j.raw(`{"since":`)
	j.time(q.Since)
	j.raw(`,"until":`)
	j.time(q.Until)
	j.raw(`,"kept":{"since":`)
	j.time(since)
	j.raw(`,"until":`)
	j.time(until)
	j.raw(`},"complete":`)
	j.b = appendBool(j.b, !page.LeftOut)
	j.raw(`,"changes":[`)
	for i := range page.Paths {
		if i > 0 {
			j.raw(",")
		}
		if j.change(&page.Paths[i]); !j.flush(false) {
			return nil // a reader who went away needs no error
		}
	}
	j.raw(`],"agents":[`)
	for i := range page.Agents {
		if i > 0 {
			j.raw(",")
		}
		if j.agentChange(&page.Agents[i]); !j.flush(false) {
			return nil
		}
	}
	j.raw(`],"findings":`)
	if err := j.findings(found); err != nil {
		return err
	}
	j.raw(`,"next":`)
	j.text(page.Next)
	j.raw("}\n")
	j.flush(true)
	return nil
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, "true"...)
	}
	return append(b, "false"...)
}

func (j *jsonBuf) change(c *PathChange) {
	p := &c.Path
	j.raw(`{"at":`)
	j.time(c.At)
	j.raw(`,"source":`)
	j.text(p.Source.Node)
	j.raw(`,"destination":`)
	j.text(p.Destination.Node)
	j.raw(`,"path":"` + p.Kind().String() + `","family":"` + p.Family.String() + `","from":"` + c.Was.String() + `","state":"` + p.State.String() + `"`)
	if p.State != probe.OK {
		j.raw(`,"probes":{"udp":`)
		j.probe(&p.Probes[probe.UDP])
		j.raw(`,"mtu":`)
		j.probe(&p.Probes[probe.MTU])
		j.raw(`,"tcp":`)
		j.probe(&p.Probes[probe.TCP])
		j.raw(`,"icmp":`)
		j.probe(&p.Probes[probe.ICMP])
		j.raw("}")
	}
	j.raw("}")
}

func (j *jsonBuf) agentChange(c *AgentChange) {
	from, to := c.Was.String(), c.Now.String()
	if c.Appeared {
		from = "gone"
	}
	if c.Gone {
		to = "gone"
	}
	j.raw(`{"at":`)
	j.time(c.At)
	j.raw(`,"node":`)
	j.text(c.Agent.Node)
	j.raw(`,"network":"` + c.Agent.Network.String() + `","name":`)
	j.text(c.Name)
	j.raw(`,"from":"` + from + `","state":"` + to + `"}`)
}

// HistoryErr says what keeps the history from being kept, nil when it is or there is none to keep.
func (s *Server) HistoryErr() error {
	if s.cfg.History == nil {
		return nil
	}
	return s.cfg.History.Err()
}
