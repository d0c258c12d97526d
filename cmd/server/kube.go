package server

import (
	"context"
	"errors"
	"fmt"

	"netchecker/api"
	"netchecker/mesh/kube"
)

// useKube lets Kubernetes answer what the configuration leaves open.
func (s *Server) useKube() {
	if s.cfg.Kube != nil && s.cfg.Reviewer == nil {
		s.cfg.Reviewer = reviewer{s.cfg.Kube}
	}
}

// reviewer asks the API server about tokens.
type reviewer struct{ access *kube.Access }

// Review implements api.Reviewer.
func (r reviewer) Review(ctx context.Context, token, audience string) (api.TokenHolder, error) {
	id, err := r.access.Review(ctx, token, audience)
	if errors.Is(err, kube.ErrUnreachable) || errors.Is(err, kube.ErrReviewForbidden) {
		return api.TokenHolder{}, err
	}
	if err != nil {
		return api.TokenHolder{}, fmt.Errorf("%w: %w", api.ErrTokenRefused, err)
	}
	return api.TokenHolder{ServiceAccount: id.Namespace + "/" + id.ServiceAccount, Pod: id.Pod, UID: id.PodUID, Node: id.Node}, nil
}
