package server

import (
	"errors"
	"fmt"
	"path/filepath"

	"netchecker/api"
	"netchecker/api/store"
)

// openStore opens the store of reports that the configuration names: etcd, Kubernetes, the bolt file
// under DataDir, or memory.
func (s *Server) openStore() (api.Store, func(), error) {
	switch {
	case len(s.cfg.Etcd.Endpoints) > 0:
		s.cfg.Etcd.TTL = s.cfg.ReportTTL
		e, err := store.OpenEtcd(s.cfg.Etcd, s.log)
		if err != nil {
			return nil, nil, err
		}
		return e, s.closing(e.Close), nil
	case s.cfg.ReportObjects:
		if s.cfg.Kube == nil {
			return nil, nil, errors.New("-kubeproxyinit: want a pod with a service account, or -kubeconfig")
		}
		k, err := store.OpenKube(s.cfg.Kube.REST(), s.cfg.Kube.Namespace(), s.log)
		if err != nil {
			return nil, nil, err
		}
		return k, s.closing(k.Close), nil
	case s.cfg.DataDir != "":
		b, err := store.OpenBolt(filepath.Join(s.cfg.DataDir, "reports.db"), s.log)
		if err != nil {
			return nil, nil, fmt.Errorf("-data-dir: %w", err)
		}
		return b, s.closing(b.Close), nil
	}
	return store.NewMemory(), func() {}, nil
}

func (s *Server) closing(shut func() error) func() {
	return func() {
		if err := shut(); err != nil {
			s.log.Error("store not closed", "error", err)
		}
	}
}
