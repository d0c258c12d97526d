package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"netchecker/api"
	"netchecker/mesh"
	"netchecker/probe"
)

// maxSearch bounds the changes that one page looks at, some 100 ms of work.
const maxSearch = 1 << 20

// errPage ends a search whose page is full.
var errPage = errors.New("page is full")

// Changes implements api.History. Its errors say what of After cannot be, or that the log cannot be read.
func (h *History) Changes(ctx context.Context, q api.ChangeQuery) (api.ChangePage, error) {
	p := &search{q: q, ctx: ctx}
	var err error
	if p.block, p.skip, err = parseCursor(q.After); err != nil {
		return api.ChangePage{}, err
	}
	select {
	case h.reads <- struct{}{}:
		defer func() { <-h.reads }()
	case <-ctx.Done():
		return api.ChangePage{}, ctx.Err()
	}
	for _, list := range h.chaptersIn(q.Since.UnixMilli(), q.Until.UnixMilli(), p.block) {
		p.agents = nil
		err := h.readNumbered(list, p.take)
		if errors.Is(err, errPage) {
			break
		}
		if errors.Is(err, errDamaged) { // the other chapters can still be told
			p.page.LeftOut = true
			continue
		}
		if err != nil {
			return api.ChangePage{}, fmt.Errorf("history: %w", err)
		}
	}
	return p.page, nil
}

// chaptersIn lists the blocks of each chapter that holds changes of a time, from block number on.
// The first block of each, which names the agents, is always there.
func (h *History) chaptersIn(since, until int64, number uint64) (out [][]entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := 0; i < len(h.index); {
		end := i + 1
		for end < len(h.index) && h.index[end].flags&flagChapter == 0 {
			end++
		}
		chapter := h.index[i:end]
		i = end
		last := chapter[len(chapter)-1]
		if chapter[0].at > until || last.at < since || last.n < number {
			continue
		}
		out = append(out, slices.Clone(chapter))
	}
	return out
}

// search gathers a page.
type search struct {
	ctx   context.Context
	q     api.ChangeQuery
	page  api.ChangePage
	block uint64 // continue behind change skip of this block
	skip  int

	agents []agent // of the present chapter
	seen   int
	found  int
}

// take looks at one block.
func (p *search) take(n uint64, b *block) error {
	if b.kind != snapshotBlock && b.kind != changesBlock || b.kind == snapshotBlock && b.flags&flagChapter == 0 {
		return nil
	}
	if err := p.ctx.Err(); err != nil {
		return err
	}
	c, err := readContent(b, len(p.agents))
	if err != nil {
		return err
	}
	within := b.at >= p.q.Since.UnixMilli() && b.at <= p.q.Until.UnixMilli() && n >= p.block
	p.page.LeftOut = p.page.LeftOut || within && b.flags&flagLeftOut != 0
	skip := 0
	if n == p.block {
		skip = p.skip
	}
	at, i := b.time(), 0 // i counts the changes of the block
	for _, r := range c.agents {
		if i++; within && i > skip && b.kind == changesBlock {
			if err := p.agent(&r, at, n, i); err != nil {
				return err
			}
		}
		if int(r.id) == len(p.agents) {
			p.agents = append(p.agents, agent{gone: true})
		}
		p.agents[r.id] = r.agent
	}
	if !within || b.kind == snapshotBlock {
		return nil
	}
	for _, s := range c.sources {
		for j := range s.changes {
			if i++; i <= skip {
				continue
			}
			if err := p.path(s.id, &s.changes[j], at, n, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// full ends the page behind change i of block n.
func (p *search) full(n uint64, i int) error {
	if p.seen++; p.found < p.q.Limit && p.seen < maxSearch {
		return nil
	}
	p.page.Next = fmt.Sprintf("%d-%d", n, i)
	return errPage
}

func (p *search) agent(r *agentRecord, at time.Time, n uint64, i int) error {
	c := api.AgentChange{At: at, Agent: r.Key, Name: r.Name, Now: r.Report, Gone: r.gone, Appeared: true}
	if int(r.id) < len(p.agents) && !p.agents[r.id].gone {
		c.Was, c.Appeared = p.agents[r.id].Report, false
	}
	f := &p.q.Filter
	wanted := (f.Source == "" || f.Source == r.Node) && (f.Destination == "" || f.Destination == r.Node) ||
		f.Source != "" && f.Destination != "" && (f.Source == r.Node || f.Destination == r.Node)
	if f.States != 0 && f.States&mesh.WantState(probe.Unknown) == 0 || c.Was == c.Now && !c.Appeared && !c.Gone {
		wanted = false
	}
	if wanted {
		p.page.Agents = append(p.page.Agents, c)
		p.found++
	}
	return p.full(n, i)
}

func (p *search) path(source uint32, c *change, at time.Time, n uint64, i int) error {
	from, to := &p.agents[source], &p.agents[c.to>>1]
	f := &p.q.Filter
	kind := mesh.KindOf(from.Network, to.Network)
	if c.was != c.now.state && (f.Source == "" || f.Source == from.Node) && (f.Destination == "" || f.Destination == to.Node) &&
		(f.Kinds == 0 || f.Kinds&mesh.WantKind(kind) != 0) &&
		(f.States == 0 || f.States&(mesh.WantState(c.was)|mesh.WantState(c.now.state)) != 0) {
		p.page.Paths = append(p.page.Paths, api.PathChange{At: at, Was: c.was, Path: mesh.Path{Source: from.Key, Destination: to.Key,
			Family: mesh.Family(c.to & 1), State: c.now.state, Since: at, Probes: c.now.probes()}})
		p.found++
	}
	return p.full(n, i)
}

func parseCursor(after string) (block uint64, skip int, err error) {
	if after == "" {
		return 0, 0, nil
	}
	number, count, ok := strings.Cut(after, "-")
	block, err = strconv.ParseUint(number, 10, 64)
	n, err2 := strconv.ParseUint(count, 10, 31)
	if !ok || err != nil || err2 != nil {
		return 0, 0, api.BadCursor(after)
	}
	return block, int(n), nil
}
