package mesh

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
)

// MaxDests bounds the destinations of a table: 5,000 nodes have 10,000 agents and, dual stack,
// 20,000 destinations.
const MaxDests = 1 << 16

// Dest is one destination of paths: an agent in one address family.
type Dest struct {
	Key
	Family Family
}

// Compare orders destinations by key, then IPv4 before IPv6.
func (d Dest) Compare(other Dest) int {
	if c := d.Key.Compare(other.Key); c != 0 {
		return c
	}
	return int(d.Family) - int(other.Family)
}

// TableHash names a table by its content.
type TableHash [16]byte

// Table is the sorted list of destinations that a row's columns stand for. Agents that know the
// same roster build the same table, so the server keeps it once. It is immutable.
type Table struct {
	dests []Dest
	hash  TableHash
	// networks holds each destination's network, so that counting cells by path kind touches one
	// byte a cell; families counts the destinations of each family.
	networks []uint8
	families [Families]int
}

// NewTable returns the table of the destinations, sorted; duplicates and more than MaxDests are errors.
func NewTable(dests []Dest) (*Table, error) {
	if len(dests) > MaxDests {
		return nil, fmt.Errorf("table of %d destinations: at most %d are allowed", len(dests), MaxDests)
	}
	t := &Table{dests: slices.Clone(dests), networks: make([]uint8, len(dests))}
	slices.SortFunc(t.dests, Dest.Compare)
	for i, d := range t.dests {
		if i > 0 && d == t.dests[i-1] {
			return nil, fmt.Errorf("table: destination %s (%s) twice", d.Key, d.Family)
		}
		t.networks[i] = uint8(d.Network)
		t.families[d.Family]++
	}
	sum := sha256.Sum256(t.append(nil))
	copy(t.hash[:], sum[:])
	return t, nil
}

// TableOf returns the table of a roster: every agent in each family it advertises, the reader of
// the roster itself included, so that everybody's table is the same.
func TableOf(r *Roster) (*Table, error) {
	dests := make([]Dest, 0, len(r.Agents))
	for _, m := range r.Agents {
		dests = appendDests(dests, m.Agent)
	}
	return NewTable(dests)
}

func appendDests(dests []Dest, a Agent) []Dest {
	for f := range Family(Families) {
		if a.Addr(f).IsValid() {
			dests = append(dests, Dest{a.Key, f})
		}
	}
	return dests
}

// Len is the number of destinations.
func (t *Table) Len() int { return len(t.dests) }

// Dest returns the destination at an index.
func (t *Table) Dest(i int) Dest { return t.dests[i] }

// Hash names the table's content.
func (t *Table) Hash() TableHash { return t.hash }

// Find returns the index of a destination.
func (t *Table) Find(d Dest) (int, bool) { return slices.BinarySearchFunc(t.dests, d, Dest.Compare) }

// append writes the table: count, then for each destination network|family<<1 and the node's name.
func (t *Table) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(t.dests)))
	for _, d := range t.dests {
		dst = appendString(append(dst, byte(d.Network)|byte(d.Family)<<1), d.Node)
	}
	return dst
}

func parseTable(b []byte) (*Table, error) {
	r := reader{b: b}
	n := r.count(MaxDests)
	dests := make([]Dest, 0, min(n, len(b)/2))
	for range n {
		flags, node := r.byte(), r.string()
		if r.err != nil {
			return nil, fmt.Errorf("table: %w", r.err)
		}
		d := Dest{Key{node, Network(flags & 1)}, Family(flags >> 1)}
		if d.Family >= Families {
			return nil, fmt.Errorf("table: destination %q: family %d: want 0 (ipv4) or 1 (ipv6)", node, d.Family)
		}
		if err := CheckName("node name", node); err != nil {
			return nil, fmt.Errorf("table: %w", err)
		}
		dests = append(dests, d)
	}
	if len(r.b) > 0 {
		return nil, fmt.Errorf("table: %d bytes too many", len(r.b))
	}
	return NewTable(dests)
}

// Tables remembers the last tables seen, so that a row can name one by its hash. It may be used by
// many goroutines. A forgotten table costs its agent one repeated row.
type Tables struct {
	mu    sync.Mutex
	known map[TableHash]*Table
	order []TableHash
}

// maxTables bounds the memory that unauthenticated senders of tables can take: during churn agents
// disagree for seconds, so a few dozen tables are alive at a time.
const maxTables = 256

// Get returns the table with the hash, or nil.
func (t *Tables) Get(hash TableHash) *Table {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known[hash]
}

// Add remembers a table and returns the one already known by its hash, if any, so that equal
// tables share memory. The oldest table makes room.
func (t *Tables) Add(table *Table) *Table {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.known[table.hash]; old != nil {
		return old
	}
	if t.known == nil {
		t.known = map[TableHash]*Table{}
	}
	if len(t.order) >= maxTables {
		delete(t.known, t.order[0])
		t.order = t.order[1:]
	}
	t.known[table.hash] = table
	t.order = append(t.order, table.hash)
	return table
}
