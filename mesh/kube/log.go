package kube

import (
	"context"
	"log/slog"

	"k8s.io/klog/v2"
)

// RouteLogs sends what client-go says of itself to log, all of it as debugging: it repeats the
// same refused connection every few seconds for each watch, and what it means for us the Cluster
// says once. It must be called once in a process, before the first Connect: klog has one logger
// and no lock around it.
func RouteLogs(log *slog.Logger) {
	klog.SetSlogLogger(slog.New(quiet{log.Handler()}))
}

// quiet is a handler that calls nothing more important than debugging.
type quiet struct{ slog.Handler }

// demoted is the level that client-go's errors, warnings and news get; its -v levels stay below.
func demoted(l slog.Level) slog.Level {
	return slog.LevelDebug + min(l, 0)
}

func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return q.Handler.Enabled(ctx, demoted(l))
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = demoted(r.Level)
	if !q.Handler.Enabled(ctx, r.Level) { // errors come unasked
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }
func (q quiet) WithGroup(name string) slog.Handler       { return quiet{q.Handler.WithGroup(name)} }
