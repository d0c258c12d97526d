package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"netchecker/cmd/cli"
)

// defaultServer is where the NodePort answers on every node.
const defaultServer = "http://127.0.0.1:31081"

// patience is how long an answer may take, quiet how long nothing is said about it.
const (
	patience = 30 * time.Second
	quiet    = time.Second
)

// asker asks one server.
type asker struct {
	url, ca string
	http    *http.Client
	base    *url.URL
	// progress is told of long waits; nil tells nobody.
	progress io.Writer
}

// flags gives a command the flags that say which server.
func (s *asker) flags(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&s.url, "server", s.url, "`URL` of the server, with user and password where it wants them; also from NETCHECKER_SERVER")
	cmd.PersistentFlags().Lookup("server").DefValue = redacted(s.url) // what --help prints
	cmd.PersistentFlags().StringVar(&s.ca, "server-ca", "", "`file` with the CA of the server's certificate")
}

// open checks what the flags say. It asks nobody yet.
func (s *asker) open() (err error) {
	if s.base, err = url.Parse(s.url); err != nil || s.base.Host == "" || s.base.Scheme != "http" && s.base.Scheme != "https" {
		return cli.Usagef("--server %q: want a URL such as %s", redacted(s.url), defaultServer)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if s.ca != "" {
		pem, err := os.ReadFile(s.ca)
		if err != nil {
			return cli.Usagef("--server-ca: %v", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return cli.Usagef("--server-ca %q: holds no certificate", s.ca)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	s.http = &http.Client{Transport: transport}
	return nil
}

// redacted is a URL without its password, also of one that cannot be parsed.
func redacted(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		if at := strings.LastIndex(text, "@"); at >= 0 {
			return "…" + text[at:]
		}
		return text
	}
	return u.Redacted()
}

// get asks for a path and returns the body of the answer, at most most bytes. Another status than 200
// is an error with the server's reason.
func (s *asker) get(ctx context.Context, path string, query url.Values, to io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	u := s.base.JoinPath(path)
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	defer s.say("waiting for " + s.base.Redacted())()
	answer, err := s.http.Do(r)
	if err != nil {
		return s.unreachable(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return s.refused(answer)
	}
	if _, err = io.Copy(to, answer.Body); err != nil {
		return fmt.Errorf("%s: answer cut short: %w", s.base.Redacted(), err)
	}
	return nil
}

// say tells of a wait once it is long; the function it returns ends it.
func (s *asker) say(what string) (done func()) {
	if s.progress == nil {
		return func() {}
	}
	timer := time.AfterFunc(quiet, func() { fmt.Fprintln(s.progress, what+" …") })
	return func() { timer.Stop() }
}

// unreachable makes one line of why no answer came.
func (s *asker) unreachable(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: no answer within %v", s.base.Redacted(), patience)
	}
	return fmt.Errorf("%s: %w; --server or NETCHECKER_SERVER says where the server is", s.base.Redacted(), err)
}

func (s *asker) refused(answer *http.Response) error {
	reason, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<12)) // the status is worth telling without it
	var told struct{ Error string }
	if json.Unmarshal(reason, &told) == nil && told.Error != "" {
		return fmt.Errorf("%s: %s", s.base.Redacted(), told.Error)
	}
	return fmt.Errorf("%s: %s: %s", s.base.Redacted(), answer.Status, strings.TrimSpace(string(reason)))
}

// read asks for a path and decodes the answer.
func (s *asker) read(ctx context.Context, path string, query url.Values, to any) error {
	var body strings.Builder
	if err := s.get(ctx, path, query, &body); err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(body.String()), to); err != nil {
		return fmt.Errorf("%s: answer of %s: %w", s.base.Redacted(), path, err)
	}
	return nil
}
