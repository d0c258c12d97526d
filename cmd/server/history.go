package server

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"netchecker/api/history"
	"netchecker/api/store"
	"netchecker/mesh/diagnose"
)

const (
	// recordEvery is how often the matrix is compared with what the history knows.
	recordEvery = time.Second
	// recordShare is as diagnoseShare.
	recordShare = 4
	// maxMemoryHistory bounds a history without a folder to keep it in: a server's memory is not
	// made for a day of it.
	maxMemoryHistory = 32 << 20
)

// openHistory opens the history under DataDir, or in memory without one; nil when HistorySize is 0.
func (s *Server) openHistory() (close func(), err error) {
	if s.cfg.HistorySize == 0 {
		return func() {}, nil
	}
	cfg := history.Config{MaxBytes: s.cfg.HistorySize, MaxAge: s.cfg.HistoryAge, Logger: s.log}
	done := func() error { return nil }
	if s.cfg.DataDir == "" {
		cfg.Log, cfg.MaxBytes = &store.MemoryLog{}, min(cfg.MaxBytes, maxMemoryHistory)
	} else {
		log, err := store.OpenLog(filepath.Join(s.cfg.DataDir, "history.db"), s.log)
		if err != nil {
			return nil, fmt.Errorf("-data-dir: %w", err)
		}
		cfg.Log, done = log, log.Close
	}
	if s.history, err = history.Open(cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("-data-dir: %w", err), done())
	}
	s.diagnosis.listeners = append(s.diagnosis.listeners, func(f diagnose.Finding) { s.history.Note(f, time.Now()) })
	return func() {
		s.history.Close()
		if err := done(); err != nil {
			s.log.Error("history not closed", "error", err)
		}
	}, nil
}

// record follows the matrix until ctx ends. It alone writes the history, so that a slow or full disk
// holds up nothing else.
func (s *Server) record(ctx context.Context) error {
	timer := time.NewTimer(recordEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			now := time.Now() // the end of what was watched
			s.history.Record(s.matrix.View(now), s.diagnosis.findings(), now)
			return nil
		case <-timer.C:
		}
		began := time.Now()
		s.history.Record(s.matrix.View(began), s.diagnosis.findings(), began)
		timer.Reset(rest(recordEvery, recordShare, began))
	}
}
