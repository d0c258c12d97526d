package gossip

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"netchecker/mesh"
)

// keyPoll is how often the key file is read. It is read and compared, not watched: a mounted Secret
// changes by swapping a symlink two directories up, and the kubelet takes a minute anyway.
const keyPoll = 10 * time.Second

const keyFileMost = 1 << 16

// readKeys reads the keyring, through symlinks.
func readKeys(path string) ([][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("gossip key file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, keyFileMost))
	if err != nil {
		return nil, fmt.Errorf("gossip key file %q: %w", path, err)
	}
	keys, err := mesh.ParseKeyring(string(text))
	if err != nil {
		return nil, fmt.Errorf("gossip key file %q: %w", path, err)
	}
	return keys, nil
}

// ReloadKeys reads the key file now instead of within 10 s. On an error the keys in use stay. Any
// goroutine may call it; without a key file it does nothing.
func (g *Gossip) ReloadKeys() error {
	if g.cfg.KeyFile == "" {
		return nil
	}
	g.keyMu.Lock()
	defer g.keyMu.Unlock()
	keys, err := readKeys(g.cfg.KeyFile)
	if err != nil {
		g.stats.keyErrors.Add(1)
		return err
	}
	if sameKeys(g.keyring.GetKeys(), keys) {
		return nil
	}
	if err := installKeys(g.keyring, keys); err != nil {
		g.stats.keyErrors.Add(1)
		return fmt.Errorf("gossip key file %q: %w", g.cfg.KeyFile, err)
	}
	g.stats.keyReloads.Add(1)
	g.cfg.Log.Info("gossip keys reloaded", slog.Int("keys", len(keys)))
	return nil
}

func (g *Gossip) pollKeys(ctx context.Context) {
	tick := time.NewTicker(keyPoll)
	defer tick.Stop()
	var said string
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		text := ""
		if err := g.ReloadKeys(); err != nil {
			text = err.Error()
			if text != said {
				g.cfg.Log.Warn("gossip keys kept as they were", slog.Any("error", err))
			}
		}
		said = text
	}
}

func sameKeys(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

// newKeyring returns a keyring that sends with the first key and takes all.
func newKeyring(keys [][]byte) (*memberlist.Keyring, error) {
	return memberlist.NewKeyring(keys, keys[0])
}

// installKeys makes the keyring hold exactly want, the first for sending. Keys that go are brought
// to the end first and removed from there: memberlist's RemoveKey shifts the slice that its receive
// loop may be reading, which is a data race anywhere but at the end.
func installKeys(ring *memberlist.Keyring, want [][]byte) error {
	want = unique(want)
	for _, key := range want {
		if err := ring.AddKey(key); err != nil {
			return err
		}
	}
	for _, key := range slices.Backward(want) {
		if err := ring.UseKey(key); err != nil {
			return err
		}
	}
	for have := ring.GetKeys(); len(have) > len(want); have = ring.GetKeys() {
		if err := ring.RemoveKey(have[len(have)-1]); err != nil {
			return err
		}
	}
	return nil
}

func unique(keys [][]byte) [][]byte {
	var out [][]byte
	for _, key := range keys {
		if !slices.ContainsFunc(out, func(k []byte) bool { return bytes.Equal(k, key) }) {
			out = append(out, key)
		}
	}
	return out
}
