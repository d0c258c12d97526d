package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v2"

	"netchecker/api"
	"netchecker/probe"
)

// serve serves until the front is shut down. With a web configuration it is HTTPS, or asks for a
// password, or both, as the exporters of Prometheus do it: the file and what it names are read again
// for every connection and request, so certificates and passwords may change.
func (s *Server) serve(front *http.Server, listener net.Listener) error {
	err := error(nil)
	if s.cfg.WebConfig == "" {
		err = front.Serve(listener)
	} else {
		exempt(front)
		quiet := slog.New(slog.DiscardHandler) // it would say "Listening on" a second time
		err = web.Serve(listener, front, &web.FlagConfig{WebConfigFile: &s.cfg.WebConfig}, quiet)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// checkWeb says what is wrong with the web configuration before anything runs.
func checkWeb(file string) error {
	if file == "" {
		return nil
	}
	if err := web.Validate(file); err != nil {
		return fmt.Errorf("-web-config %q: %s", file, strings.Join(strings.Fields(err.Error()), " "))
	}
	return nil
}

// hasTLS reports whether a web configuration makes it HTTPS, which is settled when the server starts.
func hasTLS(file string) bool {
	if file == "" {
		return false
	}
	text, err := os.ReadFile(file)
	var c web.Config
	// checkWeb has said what is wrong with it.
	return err == nil && yaml.Unmarshal(text, &c) == nil && c.TLSConfig.IsEnabled()
}

// reachable are the services that Kubernetes tells as agents can probe them: an HTTPS server by TCP
// alone, for its certificate names no address of a Service or a pod, and to plain HTTP it says 400.
func reachable(told []api.ServiceTarget, tls bool) []api.ServiceTarget {
	out := slices.Clone(told)
	for i, t := range out {
		if !tls || t.Kind != probe.ServiceHTTP {
			continue
		}
		if u, err := url.Parse(t.Address); err == nil {
			out[i] = api.ServiceTarget{Name: t.Name, Kind: probe.ServiceTCP, Address: u.Host}
		}
	}
	return out
}

// exempt lets pass without a password what agents and kubelets send. The toolkit puts its own handler
// in place of the front's, and only then serves; BaseContext is the first that is called after that.
func exempt(front *http.Server) {
	open := front.Handler
	front.BaseContext = func(net.Listener) context.Context {
		guarded := front.Handler
		front.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isExempt(r) {
				open.ServeHTTP(w, r)
				return
			}
			guarded.ServeHTTP(w, r)
		})
		return context.Background()
	}
}

// isExempt reports whether a request needs no password: the agents' posts, which prove themselves
// otherwise (-auth), and what tells nothing but that the server lives.
func isExempt(r *http.Request) bool {
	switch r.URL.Path {
	case "/healthz", "/readyz", "/api/v1/ping":
		return true
	}
	return r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/api/v1/agents/")
}
