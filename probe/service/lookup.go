package service

import (
	"context"
	"net"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Lookup is the name lookup of the original report: the addresses of each name by the system's
// resolver, an empty list for a name that has none.
func Lookup(ctx context.Context, names []string) map[string][]string {
	out := make(map[string][]string, len(names))
	var mu sync.Mutex // guards out
	var g errgroup.Group
	g.SetLimit(8)
	for _, name := range names {
		g.Go(func() error {
			addrs, err := net.DefaultResolver.LookupHost(ctx, name)
			if err != nil {
				addrs = []string{}
			}
			mu.Lock()
			defer mu.Unlock()
			out[name] = addrs
			return nil
		})
	}
	_ = g.Wait() // nothing returns an error
	return out
}
