package server

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"netchecker/mesh"
)

func TestWhoReportsIsHeardThoughGossipIsSilent(t *testing.T) {
	registry, matrix, now := mesh.NewRegistry(time.Hour, time.Minute), mesh.NewMatrix(), time.Now()
	agent := func(node string, last byte) mesh.Agent {
		return mesh.Agent{Name: "agent-" + node, Key: mesh.Key{Node: node}, IPv4: netip.AddrFrom4([4]byte{10, 0, 0, last}), Boot: 1}
	}
	silent, alive, mute, stale := agent("silent", 1), agent("alive", 2), agent("mute", 3), agent("stale", 4)
	for _, a := range []mesh.Agent{silent, mute, stale} {
		registry.Hint(a, now)
	}
	registry.Alive(alive, now)
	matrix.SetRoster(registry.Roster(), now)
	table, err := mesh.TableOf(registry.Roster())
	if err != nil {
		t.Fatal(err)
	}
	for a, at := range map[mesh.Agent]time.Time{silent: now, alive: now, stale: now.Add(-time.Minute)} {
		row := mesh.NewRow(a, table)
		row.Sequence, row.Interval = 1, time.Second
		row.Seal()
		if err := matrix.Put(row, "", at); err != nil {
			t.Fatal(err)
		}
	}
	if got := reporters(matrix.View(now)); !slices.Equal(got, []string{silent.Name}) {
		t.Errorf("heard %q, want %q alone", got, silent.Name)
	}
}
