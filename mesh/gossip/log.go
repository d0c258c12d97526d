package gossip

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"
)

// logLines is how many lines of memberlist pass in a logWindow. A peer with another key makes one
// for each of its packets, a broken route of our own 15 a second, and either may last for days.
const (
	logLines  = 30
	logWindow = time.Minute
)

// logWriter turns the lines of memberlist into records, one level lower than it calls them: its
// errors are dead peers and lost packets, which here are the subject and not a fault of ours.
type logWriter struct {
	log *slog.Logger

	mu      sync.Mutex
	window  time.Time
	lines   int
	dropped uint64 // since the last line that passed
}

var logLevels = []struct {
	prefix string
	level  slog.Level
}{
	{"[ERR]", slog.LevelWarn},
	{"[ERROR]", slog.LevelWarn},
	{"[WARN]", slog.LevelInfo},
	{"[INFO]", slog.LevelDebug},
	{"[DEBUG]", slog.LevelDebug - 4},
}

// Write takes one line. It never blocks on anything but the handler and never fails.
func (w *logWriter) Write(line []byte) (int, error) {
	level, text := slog.LevelDebug, bytes.TrimSpace(line)
	for _, l := range logLevels {
		if rest, ok := bytes.CutPrefix(text, []byte(l.prefix)); ok {
			level, text = l.level, bytes.TrimSpace(rest)
			break
		}
	}
	text = bytes.TrimPrefix(text, []byte("memberlist: "))
	if !w.log.Enabled(context.Background(), level) {
		return len(line), nil
	}
	ok, dropped := w.admit(time.Now())
	if !ok {
		return len(line), nil
	}
	attrs := []slog.Attr{slog.String("said", string(text))}
	if dropped > 0 {
		attrs = append(attrs, slog.Uint64("dropped_before", dropped))
	}
	w.log.LogAttrs(context.Background(), level, "memberlist", attrs...)
	return len(line), nil
}

func (w *logWriter) admit(now time.Time) (ok bool, dropped uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Sub(w.window) >= logWindow || now.Before(w.window) {
		w.window, w.lines = now, 0
	}
	if w.lines >= logLines {
		w.dropped++
		return false, 0
	}
	w.lines++
	dropped, w.dropped = w.dropped, 0
	return true, dropped
}
