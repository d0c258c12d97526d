package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"netchecker/mesh/kube/forward"
)

// patience is how long an answer may take.
const patience = 30 * time.Second

// asker asks one server.
type asker struct {
	where
	// undecided is set while it is open whether the server on this machine is meant.
	undecided bool
	base      *url.URL
	http      *http.Client
	// tunnel is the way to a server in a cluster; nil where there is a URL.
	tunnel   *forward.Tunnel
	progress *progress
}

// close ends what is open.
func (s *asker) close() {
	if s.http != nil {
		s.http.CloseIdleConnections()
	}
	if s.tunnel != nil {
		s.tunnel.Close()
	}
}

// name is the server in messages.
func (s *asker) name() string {
	if s.tunnel != nil {
		return s.tunnel.String()
	}
	return s.base.Redacted()
}

// reach finds out what open could not, if it is not known yet.
func (s *asker) reach(ctx context.Context) error {
	if s.undecided {
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	if s.tunnel == nil {
		return nil
	}
	https, err := s.tunnel.TLS(ctx)
	if https || s.ca != "" {
		s.base.Scheme = "https"
	}
	return err
}

// get asks for a path and copies the body of the answer. Another status than 200 is an error with the
// server's reason.
func (s *asker) get(ctx context.Context, path string, query url.Values, to io.Writer) error {
	within := patience
	if end, ok := ctx.Deadline(); ok { // who asks may have less
		within = min(within, time.Until(end))
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	wait := s.progress.begin("waiting for " + s.name())
	defer wait.end()
	if err := s.reach(ctx); err != nil {
		return s.unreachable(err, within)
	}
	wait.now("waiting for " + s.name())
	u := s.base.JoinPath(path)
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	answer, err := s.http.Do(r)
	if err != nil && s.another(ctx, err) {
		answer, err = s.http.Do(r)
	}
	if err != nil {
		return s.unreachable(err, within)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return s.refused(answer)
	}
	if _, collected := to.(*strings.Builder); !collected {
		wait.end() // what is printed says itself that it goes on
	}
	if _, err = io.Copy(to, answer.Body); err != nil {
		return fmt.Errorf("%s: answer cut short: %w", s.name(), err)
	}
	return nil
}

// another reports whether another server in the cluster may answer at once: the pod may just have been
// replaced. Who waited in vain asks for another one the next time.
func (s *asker) another(ctx context.Context, err error) bool {
	if s.tunnel == nil {
		return false
	}
	if known, ok := errors.AsType[*forward.Error](err); ok && !known.Broken() {
		return false
	}
	s.http.CloseIdleConnections()
	s.tunnel.Renew()
	return ctx.Err() == nil
}

// unreachable makes one line of why no answer came within a time.
func (s *asker) unreachable(err error, within time.Duration) error {
	if known, ok := errors.AsType[*forward.Error](err); ok {
		return known
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: no answer within %v", s.name(), within.Round(100*time.Millisecond))
	case s.undecided:
		return err
	case s.tunnel != nil:
		return fmt.Errorf("%s: %w", s.name(), err)
	}
	return fmt.Errorf("%s: %w; --server or NETCHECKER_SERVER says where the server is", s.name(), err)
}

func (s *asker) refused(answer *http.Response) error {
	reason, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<12)) // the status is worth telling without it
	if answer.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("%s: %s: --server-user or NETCHECKER_SERVER_USER says NAME:PASSWORD", s.name(), answer.Status)
	}
	var told struct{ Error string }
	if json.Unmarshal(reason, &told) == nil && told.Error != "" {
		return fmt.Errorf("%s: %s", s.name(), told.Error)
	}
	return fmt.Errorf("%s: %s: %s", s.name(), answer.Status, strings.TrimSpace(string(reason)))
}

// read asks for a path and decodes the answer.
func (s *asker) read(ctx context.Context, path string, query url.Values, to any) error {
	var body strings.Builder
	if err := s.get(ctx, path, query, &body); err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(body.String()), to); err != nil {
		return fmt.Errorf("%s: answer of %s: %w", s.name(), path, err)
	}
	return nil
}
