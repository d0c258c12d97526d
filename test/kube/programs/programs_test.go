package programs

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestTheFolderIsInTheUsersCacheAndDependsOnTheSources(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	s, err := Open(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if s.Dir != again.Dir || !strings.HasPrefix(s.Dir, filepath.Join(cache, "netchecker", "kube-")) {
		t.Errorf("folders %s and %s, want twice the same below %s", s.Dir, again.Dir, cache)
	}
	if text, err := os.ReadFile(filepath.Join(s.source, "kubernetes", "go.mod")); err != nil || !strings.Contains(string(text), "k8s.io/kubernetes "+Version+"\n") {
		t.Errorf("kubernetes/go.mod does not require %s: %v", Version, err)
	}
}

func TestTwoBuildersTakeTurns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kube")
	one, two := &Store{Dir: dir, log: t.Output()}, &Store{Dir: dir, log: t.Output()}
	var inside, most atomic.Int32
	work := func() error {
		most.Store(max(most.Load(), inside.Add(1)))
		time.Sleep(20 * time.Millisecond)
		inside.Add(-1)
		return nil
	}
	done := make(chan error)
	for _, s := range []*Store{one, two} {
		go func() { done <- s.locked(work) }()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if most.Load() != 1 {
		t.Errorf("%d builders at once", most.Load())
	}
}

func TestFoldersThatNobodyUsedForLongGo(t *testing.T) {
	cache := t.TempDir()
	s := &Store{Dir: filepath.Join(cache, "kube-now"), log: t.Output()}
	old, recent := filepath.Join(cache, "kube-old"), filepath.Join(cache, "kube-recent")
	for _, dir := range []string{s.Dir, old, recent} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * unused)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	if err := s.dropOld(); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(cache, "*"))
	if len(left) != 2 || left[0] != s.Dir || left[1] != recent {
		t.Errorf("left %q", left)
	}
}
