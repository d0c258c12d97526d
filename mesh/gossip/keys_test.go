package gossip

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func keyOf(c byte, size int) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{c}, size))
}

func writeKeys(t *testing.T, path string, keys ...string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("# keys\n"+strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestKeyRotation(t *testing.T) {
	dir := t.TempDir()
	before, next, wrong := keyOf('a', 32), keyOf('b', 32), keyOf('x', 16)
	bubble(t, func(t *testing.T, net *memnet) {
		var members []*Gossip
		file := func(i int) string { return filepath.Join(dir, testAgent(i).Name) }
		join := func(i int, keys ...string) {
			writeKeys(t, file(i), keys...)
			cfg := net.config(testAgent(i), seedOf(testAgent(0)))
			cfg.KeyFile = file(i)
			members = append(members, start(t, cfg))
		}
		for i := range 4 {
			join(i, before)
		}
		within(t, 20*time.Second, "whole with the first key", func() bool { return whole(members, 4) })
		for _, keys := range [][]string{{before, next}, {next, before}, {next}} {
			for i, g := range members { // one after the other, as a kubelet updates Secrets
				writeKeys(t, file(i), keys...)
				time.Sleep(20 * time.Second)
				if got := g.Stats().KeyReloads; got == 0 {
					t.Fatalf("member %d did not reload", i)
				}
			}
			time.Sleep(3 * time.Minute)
			if !whole(members, 4) {
				t.Fatalf("not whole with %d keys", len(keys))
			}
		}
		if got := members[0].keyring.GetKeys(); len(got) != 1 || got[0][0] != 'b' {
			t.Errorf("keys %q, want only the next", got)
		}
		stranger := net.config(testAgent(9), seedOf(testAgent(0)))
		writeKeys(t, file(9), wrong)
		stranger.KeyFile = file(9)
		outside := start(t, stranger)
		clear := start(t, net.config(testAgent(10), seedOf(testAgent(0))))
		time.Sleep(5 * time.Minute)
		if len(outside.Roster().Agents) != 1 || len(clear.Roster().Agents) != 1 || !whole(members, 4) {
			t.Error("a stranger got in")
		}
		if s := outside.Stats(); s.Joins == 0 || s.JoinsFailed != s.Joins {
			t.Errorf("the stranger's joins: %d, failed %d", s.Joins, s.JoinsFailed)
		}
		writeKeys(t, file(9), next)
		members = append(members, outside)
		within(t, 40*time.Second, "in with the right key", func() bool { return whole(members, 5) })
	})
}

func TestKeysStayWhenTheFileBreaks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	writeKeys(t, path, keyOf('a', 16), keyOf('b', 24))
	g := start(t, Config{Self: loopAgent(0), Bind: loopback, KeyFile: path})
	for name, text := range map[string]string{"empty": "", "no base64": "?", "wrong size": "YWJj"} {
		os.WriteFile(path, []byte(text), 0o600)
		if err := g.ReloadKeys(); err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "YWJj") {
			t.Errorf("%s: the error tells the key: %v", name, err)
		}
	}
	os.Remove(path)
	if g.ReloadKeys() == nil {
		t.Error("no file: no error")
	}
	if s := g.Stats(); s.KeyErrors != 4 || s.KeyReloads != 0 || len(g.keyring.GetKeys()) != 2 {
		t.Errorf("%d errors, %d reloads, %d keys", s.KeyErrors, s.KeyReloads, len(g.keyring.GetKeys()))
	}
	if _, err := Start(Config{Self: loopAgent(1), Bind: loopback, KeyFile: path}); err == nil {
		t.Error("started without its keys")
	}
}

// A kubelet puts a new directory beside the old and swaps the link ..data between them.
func TestKeysReloadThroughAMountedSecret(t *testing.T) {
	dir := t.TempDir()
	version := func(name, key string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		writeKeys(t, filepath.Join(dir, name, "keys"), key)
		os.Symlink(name, filepath.Join(dir, "..tmp"))
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..1", keyOf('a', 32))
	path := filepath.Join(dir, "keys")
	if err := os.Symlink("..data/keys", path); err != nil {
		t.Fatal(err)
	}
	bubble(t, func(t *testing.T, net *memnet) {
		cfg := net.config(testAgent(0))
		cfg.KeyFile = path
		g := start(t, cfg)
		version("..2", keyOf('c', 32))
		within(t, 15*time.Second, "reloaded by itself", func() bool {
			keys := g.keyring.GetKeys()
			return len(keys) == 1 && keys[0][0] == 'c'
		})
	})
}

func TestInstallKeys(t *testing.T) {
	key := func(c byte) []byte { return bytes.Repeat([]byte{c}, 16) }
	ring, err := newKeyring([][]byte{key('a')})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ab", "ba", "b", "cab", "abca", "d", "ad", "dab"} {
		var keys [][]byte
		for _, c := range []byte(want) {
			keys = append(keys, key(c))
		}
		if err := installKeys(ring, keys); err != nil {
			t.Fatal(err)
		}
		if !sameKeys(ring.GetKeys(), unique(keys)) {
			t.Errorf("installed %q, want %s", ring.GetKeys(), want)
		}
	}
}
