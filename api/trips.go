package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"netchecker/mesh"
)

// RoundTrips is how long round trips from one node to another took in the last hour.
type RoundTrips struct {
	GeneratedAt time.Time `json:"generated_at"`
	Source      string    `json:"source"`
	Destination string    `json:"destination"`
	// StepSeconds is the time between two moments, 0 while none are remembered: Note says why.
	StepSeconds int    `json:"step_seconds"`
	Note        string `json:"note"`
	// Times are the moments, the earliest first.
	Times  []time.Time  `json:"times"`
	Series []TripSeries `json:"series"`
}

// TripSeries is the round trips of one path.
type TripSeries struct {
	Path   string `json:"path"`
	Family string `json:"family"`
	// RTTMillis holds one round trip a moment, null where none is known.
	RTTMillis []*Millis `json:"rtt_ms"`
	// Failing lists the moments, by index, at which nothing came back.
	Failing []int `json:"failing"`
}

// Millis is a duration that stands in JSON in ms, to the µs.
type Millis time.Duration

// MarshalJSON writes the duration.
func (m Millis) MarshalJSON() ([]byte, error) { return appendMillis(nil, time.Duration(m)), nil }

// UnmarshalJSON reads what MarshalJSON wrote.
func (m *Millis) UnmarshalJSON(b []byte) error {
	var ms float64
	if err := json.Unmarshal(b, &ms); err != nil {
		return fmt.Errorf("milliseconds: %w", err)
	}
	*m = Millis(ms * float64(time.Millisecond))
	return nil
}

// getTrips serves GET /api/v1/latency/history: the round trips of the paths from one node to another.
func (s *Server) getTrips(c echo.Context) error {
	values, err := queryOf(c, "destination", "source")
	if err != nil {
		return err
	}
	out := RoundTrips{Times: []time.Time{}, Series: []TripSeries{}}
	for what, to := range map[string]*string{"source": &out.Source, "destination": &out.Destination} {
		if *to, err = nodeWord(what, values); err != nil {
			return fail(http.StatusBadRequest, err)
		}
	}
	if out.Source == "" || out.Destination == "" {
		return failf(http.StatusBadRequest, "want source and destination")
	}
	view := s.View()
	out.GeneratedAt = view.Generated.UTC()
	if s.cfg.Trips != nil {
		out.fill(s.cfg.Trips)
	} else {
		out.Note = "this server remembers no round trips"
	}
	if len(out.Series) == 0 { // nodes that are gone may be remembered, those never heard of are a slip
		q := query{filter: mesh.Filter{Source: out.Source, Destination: out.Destination}}
		if err := q.checkNodes(view.Agents()); err != nil {
			return fail(http.StatusBadRequest, err)
		}
	}
	body, err := json.Marshal(&out)
	if err != nil {
		return fmt.Errorf("round trips: %w", err)
	}
	c.Response().Header().Set("Cache-Control", "no-store")
	if wantsZip(c, body) {
		if body, err = zip(body); err != nil {
			return fmt.Errorf("round trips: %w", err)
		}
	}
	return c.JSONBlob(http.StatusOK, body)
}

func (r *RoundTrips) fill(trips *mesh.Trips) {
	kept := trips.Kept()
	switch r.StepSeconds = int(kept.Step / time.Second); {
	case kept.Step > 0:
	case kept.Paths > 0:
		r.Note = fmt.Sprintf("there are %d paths, round trips are remembered of at most %d", kept.Paths, kept.Most)
	default:
		r.Note = "nothing is remembered yet"
	}
	times, series := trips.Between(r.Source, r.Destination)
	for _, at := range times {
		r.Times = append(r.Times, at.UTC().Truncate(time.Millisecond))
	}
	for _, s := range series {
		out := TripSeries{Path: s.Kind.String(), Family: s.Family.String(), RTTMillis: make([]*Millis, len(s.RTT)), Failing: append([]int{}, s.Failing...)}
		for n, rtt := range s.RTT {
			if rtt > 0 {
				ms := Millis(rtt)
				out.RTTMillis[n] = &ms
			}
		}
		r.Series = append(r.Series, out)
	}
}
