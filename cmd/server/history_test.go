package server

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"netchecker/api/history"
	"netchecker/api/store"
	"netchecker/mesh"
)

// hanging is a log on a disk that hangs once.
type hanging struct {
	store.MemoryLog
	hangs time.Duration
}

func (l *hanging) Append(first uint64, values [][]byte) (bool, error) {
	time.Sleep(l.hangs)
	l.hangs = 0
	return l.MemoryLog.Append(first, values)
}

// A disk in the network hangs just when the network breaks, of which the history is to tell.
func TestTheHistoryGoesOnAsSoonAsItsDiskDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := history.Open(history.Config{Log: &hanging{hangs: 10 * time.Minute}, MaxBytes: 1 << 20, MaxAge: time.Hour, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		s := &Server{history: h, matrix: mesh.NewMatrix()}
		ended := make(chan error)
		go func() { ended <- s.record(ctx) }()
		time.Sleep(12 * time.Minute)
		if _, until := h.Kept(); time.Since(until) > time.Minute {
			t.Errorf("the disk has worked for two minutes, the last record is %v old", time.Since(until).Round(time.Second))
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		h.Close()
	})
}
