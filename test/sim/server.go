package sim

import (
	"errors"
	"fmt"
	"time"

	"netchecker/mesh"
)

// server takes rows as the real one does, without HTTP.
type server struct {
	cluster *Cluster
	matrix  *mesh.Matrix
	tables  *mesh.Tables
	reg     *mesh.Registry
	roster  *mesh.Roster
	seen    map[mesh.Agent]bool
	skew    time.Duration // of its clock
	expired time.Duration
}

func newServer(c *Cluster) *server {
	return &server{cluster: c, matrix: mesh.NewMatrix(), tables: &mesh.Tables{}, reg: mesh.NewRegistry(retain, leftRetain), seen: map[mesh.Agent]bool{}}
}

func (s *server) clock() time.Time { return s.cluster.wall().Add(s.skew) }

// take reads a row; false asks for it once more with its table.
func (s *server) take(body []byte, via string) bool {
	row, err := s.cluster.codec.Decode(body, s.tables)
	if errors.Is(err, mesh.ErrUnknownTable) {
		return false
	}
	if err != nil {
		panic(fmt.Sprintf("sim: a row that an agent encoded: %v", err))
	}
	if !s.seen[row.Source] {
		s.seen[row.Source] = true
		s.reg.Hint(row.Source, s.clock())
	}
	if err := s.matrix.Put(row, via, s.clock()); err != nil {
		s.cluster.rows.Refused++
	}
	return true
}

func (s *server) step() {
	c := s.cluster
	if c.now-s.expired >= expireEvery {
		s.expired = c.now
		s.reg.Expire(s.clock())
	}
	if roster := s.reg.Roster(); roster != s.roster {
		s.roster = roster
		s.matrix.SetRoster(roster, s.clock())
	}
}

// RowStats counts the rows that were encoded.
type RowStats struct {
	Rows, Bytes, Largest int
	// Tables and TableBytes count those that carried their table.
	Tables, TableBytes int
	// Columns sums the paths that the rows spoke of.
	Columns int
	// Undelivered rows found no way to the server; Refused ones the matrix did not take.
	Undelivered, Refused int
}

func (r *RowStats) count(body []byte, columns int, withTable bool) {
	if withTable {
		r.Tables++
		r.TableBytes += len(body)
		return
	}
	r.Rows++
	r.Bytes += len(body)
	r.Columns += columns
	r.Largest = max(r.Largest, len(body))
}

// String says what a row and a path cost.
func (r RowStats) String() string {
	if r.Rows == 0 || r.Columns == 0 {
		return "no rows"
	}
	return fmt.Sprintf("%d rows, %d bytes on average, %.2f bytes a path, largest %d; %d rows with their table, %d bytes on average",
		r.Rows, r.Bytes/r.Rows, float64(r.Bytes)/float64(r.Columns), r.Largest, r.Tables, r.TableBytes/max(r.Tables, 1))
}
