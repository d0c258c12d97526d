package server

import (
	"context"
	"errors"

	"netchecker/api"
	"netchecker/cmd/cli"
)

// trust holds the keys by which the server knows agents.
type trust struct {
	cfg     *Config
	auth    api.Auth
	keys    *api.Keys
	mesh    *api.Keys
	masters *api.Masters
}

// newTrust reads the files that the configuration names, so that a bad one stops the server at its start.
func newTrust(cfg *Config) (*trust, error) {
	t := &trust{cfg: cfg, auth: api.AuthNone}
	if keys := api.NewKeys(cfg.Secret); keys != nil {
		t.auth, t.keys, t.mesh = api.AuthSecret, keys, keys
	}
	if cfg.MasterFile == "" {
		return t, nil
	}
	t.auth = api.AuthKubernetes
	if cfg.GossipKeyFile == "" {
		return nil, errors.New("-auth kubernetes: want -gossip-key-file too: by it agents tell this server from one that stands between")
	}
	ring, err := cli.ReadKeyring(cfg.GossipKeyFile)
	if err != nil {
		return nil, err
	}
	t.mesh = api.NewKeys(ring...)
	masters, err := cli.ReadMasters(cfg.MasterFile)
	if err != nil {
		return nil, err
	}
	if t.masters, err = api.NewMasters(masters...); err != nil {
		return nil, err
	}
	return t, nil
}

// apply makes the face know agents as the configuration says.
func (t *trust) apply(c *api.Config) error {
	c.Auth, c.MeshKeys = t.auth, t.mesh
	switch t.auth {
	case api.AuthSecret:
		c.Keys = t.keys
	case api.AuthKubernetes:
		if t.cfg.Reviewer == nil {
			return errors.New("-auth kubernetes: no Kubernetes to ask about tokens")
		}
		c.Enrolment = api.Enrolment{Masters: t.masters, Reviewer: t.cfg.Reviewer, Accounts: t.cfg.AgentAccounts}
	}
	return nil
}

// follow reads the keyring again and again, as gossip itself does.
func (t *trust) follow(ctx context.Context, s *Server) error {
	if t.auth == api.AuthKubernetes {
		cli.Follow(ctx, t.cfg.GossipKeyFile, cli.ReadKeyring, func(ring [][]byte) { t.mesh.Replace(ring...) }, s.log)
	}
	return nil
}

// followMasters reads the master secrets again and again: a rotation needs no restart.
func (t *trust) followMasters(ctx context.Context, s *Server) error {
	if t.auth != api.AuthKubernetes {
		return nil
	}
	cli.Follow(ctx, t.cfg.MasterFile, cli.ReadMasters, func(masters [][]byte) {
		if err := t.masters.Replace(masters...); err != nil {
			s.log.Error("master secrets kept as they were", "error", err)
		}
	}, s.log)
	return nil
}
