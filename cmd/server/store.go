package server

import (
	"fmt"
	"path/filepath"

	"netchecker/api"
	"netchecker/api/store"
)

// openStore opens the bolt file under DataDir, or memory without one.
func (s *Server) openStore() (api.Store, func(), error) {
	if s.cfg.DataDir == "" {
		return store.NewMemory(), func() {}, nil
	}
	b, err := store.OpenBolt(filepath.Join(s.cfg.DataDir, "reports.db"), s.log)
	if err != nil {
		return nil, nil, fmt.Errorf("-data-dir: %w", err)
	}
	return b, func() {
		if err := b.Close(); err != nil {
			s.log.Error("store not closed", "error", err)
		}
	}, nil
}
