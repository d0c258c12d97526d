package main

import (
	"errors"
	"fmt"

	"netchecker/cmd/server"
	"netchecker/mesh/kube"
)

// connectKube finds the way to the API server, if there is one, without asking it anything.
func (f *flags) connectKube(c *server.Config) (err error) {
	kube.RouteLogs(c.Log)
	c.Kube, err = kube.Connect(f.kubeconfig, "netchecker-server/"+c.Version)
	switch {
	case errors.Is(err, kube.ErrNoCluster):
		return nil
	case f.kubeconfig != "" && err != nil:
		return fmt.Errorf("-kubeconfig: %w", err)
	}
	return err
}
