package probe

import (
	"errors"
	"fmt"
	"log/slog"
)

func words(log *slog.Logger, err error) []error {
	log.Info("Started the engine")
	log.Info("started the engine")
	log.Warn("DNS is slow")
	slog.Error("TokenReview refused")
	return []error{
		errors.New("Bad beginning"),
		errors.New("bad ending."),
		fmt.Errorf("failed to open %q: %w", "x", err),
		fmt.Errorf("open %q: %w", "x", err),
		errors.New("TCP probe refused"),
	}
}
