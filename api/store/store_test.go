package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/api/store/storetest"
	"netchecker/probe"
)

// TestMain fails when a goroutine is left behind.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			code = 1
			break
		}
	}
	os.Exit(code)
}

func record(name string, uptime uint64) *api.Record {
	return &api.Record{Name: name, Authenticated: uptime%2 == 1, Report: api.Report{PodName: name, NodeName: "n", ReportInterval: 60,
		Uptime: uptime, HostDate: time.Date(2026, 1, 1, 0, 0, 0, 5, time.FixedZone("", 3600)), LastUpdated: time.Now().Add(-time.Minute).UTC(),
		LookupHost: map[string][]string{"x": {"10.0.0.1"}}, NetworkProbes: []probe.HTTPResult{{URL: "u", Total: 9223372036854}}}}
}

type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func logTo(l *lines) *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func open(t *testing.T, path string) (*Bolt, *lines) {
	t.Helper()
	l := &lines{}
	b, err := OpenBolt(path, logTo(l))
	if err != nil {
		t.Fatal(err)
	}
	return b, l
}

func names(t *testing.T, s api.Store) string {
	t.Helper()
	all, err := s.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range all {
		out = append(out, r.Name)
	}
	return strings.Join(out, " ")
}

func TestMemory(t *testing.T) {
	storetest.Run(t, storetest.Kind{Fresh: func(*testing.T) storetest.Place {
		return storetest.Place{Open: func(*testing.T) api.Store { return NewMemory() }}
	}})
}

func TestBolt(t *testing.T) {
	storetest.Run(t, storetest.Kind{Durable: true, Fresh: func(t *testing.T) storetest.Place {
		path := filepath.Join(t.TempDir(), "reports.db")
		return storetest.Place{Open: func(t *testing.T) api.Store {
			b, _ := open(t, path)
			return b
		}}
	}})
}

func TestRecordsComeBackAfterARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reports.db")
	b, _ := open(t, path)
	want := record("a", 7)
	b.Put(t.Context(), want)
	b.Put(t.Context(), record("gone", 1))
	future := record("future", 1)
	future.LastUpdated = time.Now().Add(1000 * time.Hour)
	b.Put(t.Context(), future)
	b.Delete(t.Context(), "gone")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b, _ = open(t, path)
	defer b.Close()
	got, _ := b.Get(t.Context(), "a")
	if names(t, b) != "a future" || !got.LastUpdated.Equal(want.LastUpdated) || !got.HostDate.Equal(want.HostDate) || got.Uptime != 7 ||
		!got.Authenticated || got.NetworkProbes[0].Total != 9223372036854 || got.LookupHost["x"][0] != "10.0.0.1" {
		t.Errorf("%s: %+v", names(t, b), got)
	}
	if f, _ := b.Get(t.Context(), "future"); time.Until(f.LastUpdated) > 0 {
		t.Errorf("dated %v", f.LastUpdated)
	}
}

func TestAReportIsInTheFileWithinSeconds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reports.db")
	b, _ := open(t, path)
	defer b.Close()
	b.Put(t.Context(), record("a", 1))
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if data, _ := os.ReadFile(path); bytes.Contains(data, []byte(`"podname":"a"`)) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("not written")
		}
	}
}

func TestADamagedFileIsMovedAsideAndTheServerGoesOn(t *testing.T) {
	whole := func(path string) []byte {
		b, _ := open(t, path)
		for i := range 200 {
			b.Put(t.Context(), record(fmt.Sprintf("agent-%d", i), 1))
		}
		b.Close()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, damage := range map[string]func([]byte) []byte{
		"not a bolt file":     func([]byte) []byte { return []byte(strings.Repeat("hello ", 5000)) },
		"a hundred bytes":     func(b []byte) []byte { return b[:100] },
		"cut in the middle":   func(b []byte) []byte { return b[:len(b)/2&^4095] },
		"both headers wiped":  func(b []byte) []byte { clear(b[:8192]); return b },
		"all pages scribbled": func(b []byte) []byte { return scribble(b, 8192) },
		"zeros after headers": func(b []byte) []byte { clear(b[8192:]); return b },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "reports.db")
			data := damage(whole(path))
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			b, log := open(t, path)
			b.Put(t.Context(), record("fresh", 1))
			for deadline := time.Now().Add(5 * time.Second); b.Err() != nil && time.Now().Before(deadline); {
				time.Sleep(50 * time.Millisecond)
			}
			if err := b.Close(); err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			aside, _ := filepath.Glob(path + ".damaged-*")
			if len(aside) != 1 || !strings.Contains(log.String(), "file is damaged: moved aside") {
				t.Errorf("moved aside: %v, log: %s", aside, log)
			}
			b, _ = open(t, path)
			defer b.Close()
			if got, _ := b.Get(t.Context(), "fresh"); got == nil {
				t.Error("the new file does not keep")
			}
		})
	}
}

func scribble(b []byte, from int) []byte {
	for i := from; i < len(b); i++ {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func TestAFileThatCannotBeUsedIsAnErrorNotDamage(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenBolt(filepath.Join(dir, "no", "such", "reports.db"), logTo(&lines{})); err == nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
	if _, err := OpenBolt(dir, logTo(&lines{})); err == nil {
		t.Error("a directory opened as a file")
	}
	if left, _ := filepath.Glob(dir + "*damaged*"); len(left) > 0 {
		t.Errorf("moved aside: %v", left)
	}
}

// TestAFullDiskIsSaidAndMemoryGoesOn needs root for a small file system of its own.
func TestAFullDiskIsSaidAndMemoryGoesOn(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	path := filepath.Join(dir, "reports.db")
	b, log := open(t, path)
	ballast := filepath.Join(dir, "ballast")
	os.WriteFile(ballast, make([]byte, 4<<20), 0o600) // as much as fits
	for i := range 400 {
		b.Put(t.Context(), record(fmt.Sprintf("agent-%03d", i), 1))
	}
	waitFor(t, func() bool { return errors.Is(b.Err(), syscall.ENOSPC) })
	if all, err := b.All(t.Context()); len(all) != 400 || err != nil {
		t.Errorf("%d in memory, %v", len(all), err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	b.Put(t.Context(), record("later", 1))
	waitFor(t, func() bool { return b.Err() == nil })
	if n := strings.Count(log.String(), "reports are kept in memory only"); n != 1 {
		t.Errorf("said %d times: %s", n, log)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	b, _ = open(t, path)
	defer b.Close()
	if all, _ := b.All(t.Context()); len(all) != 401 {
		t.Errorf("%d in the file", len(all))
	}
}

func TestAServerStartsOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	os.WriteFile(ballast, make([]byte, 1<<20), 0o600)
	b, _ := open(t, filepath.Join(dir, "reports.db"))
	if b.Err() == nil {
		t.Error("a full disk is not said")
	}
	b.Put(t.Context(), record("a", 1))
	os.Remove(ballast)
	waitFor(t, func() bool { return b.Err() == nil })
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}

func BenchmarkBoltPut(b *testing.B) {
	s, err := OpenBolt(filepath.Join(b.TempDir(), "reports.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	rec := record("a", 1)
	for b.Loop() {
		s.Put(b.Context(), rec)
	}
}
