package history

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"netchecker/api"
	"netchecker/api/store"
)

func logger(to *text) *slog.Logger { return slog.New(slog.NewTextHandler(to, nil)) }

// TestMain is also the child that a test kills.
func TestMain(m *testing.M) {
	if path := os.Getenv("HISTORY_CHILD"); path != "" {
		child(path)
	}
	os.Exit(m.Run())
}

// child records a cluster in disorder in real time and prints each moment that is safely recorded.
func child(path string) {
	log, err := store.OpenLog(path, slog.New(slog.DiscardHandler))
	if err != nil {
		panic(err)
	}
	h, err := Open(Config{Log: log, MaxBytes: 64 << 20, MaxAge: time.Hour, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	w, r := newWorld(nil, 4), rand.New(rand.NewPCG(1, 1))
	for {
		w.disorder(r)
		w.pass(time.Second)
		v := w.view()
		h.Record(v, nil, w.now)
		fmt.Printf("%d %x\n", w.now.UnixMilli(), picture(v))
	}
}

// TestKilledWithoutWarningItKeepsWhatItRecorded kills a process that records.
func TestKilledWithoutWarningItKeepsWhatItRecorded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	var told []string
	for range 3 {
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), "HISTORY_CHILD="+path)
		var out text
		c.Stdout, c.Stderr = &out, &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(time.Minute); strings.Count(out.String(), "\n") < 25 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		c.Process.Kill()
		c.Wait() // it was killed
		all := strings.Split(out.String(), "\n")
		if len(all) < 25 {
			t.Fatalf("the child recorded too little:\n%.2000s", out.String())
		}
		told = all[:len(all)-1]
	}
	log, err := store.OpenLog(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	h, said := open(t, log)
	for _, line := range told { // of the last run: its clock begins anew, too
		var ms int64
		var want string
		if _, err := fmt.Sscanf(line, "%d %x", &ms, &want); err != nil {
			t.Fatalf("%v: %.200s", err, line)
		}
		if v, err := h.View(t.Context(), time.UnixMilli(ms)); err != nil || picture(v) != want {
			t.Fatalf("%d of %d: %v\n%s", ms, len(told), err, said)
		}
	}
}

func TestADamagedFileIsMovedAsideAndSaid(t *testing.T) {
	for name, damage := range map[string]func(content []byte) []byte{
		"no bolt file": func([]byte) []byte { return []byte(strings.Repeat("this is no history ", 1000)) },
		"cut short":    func(b []byte) []byte { return b[:3*4096] },
		"pages overwritten": func(b []byte) []byte {
			for i := 2 * 4096; i < len(b); i++ {
				b[i] = byte(i * 7)
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "history.db")
			write(t, path)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(content), 0o600); err != nil {
				t.Fatal(err)
			}
			said := &text{}
			log, err := store.OpenLog(path, logger(said))
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			h, more := open(t, log)
			if aside, _ := filepath.Glob(path + ".damaged-*"); len(aside) != 1 || !strings.Contains(said.String(), "moved aside") {
				t.Errorf("%v, log %q", aside, said)
			}
			w := story(t, h)
			if v, err := h.View(t.Context(), w.now); err != nil || picture(v) != picture(w.view()) || h.Err() != nil {
				t.Errorf("it does not go on: %v, %v, %s", err, h.Err(), more)
			}
		})
	}
}

func write(t *testing.T, path string) {
	log, err := store.OpenLog(path, logger(&text{}))
	if err != nil {
		t.Fatal(err)
	}
	h, _ := open(t, log)
	story(t, h)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOneDamagedBlockCostsOnlyItsChapter flips bits in what the pages hold.
func TestOneDamagedBlockCostsOnlyItsChapter(t *testing.T) {
	log := &store.MemoryLog{}
	h, _ := open(t, log)
	w := story(t, h)
	w.now = w.now.Add(time.Hour)
	w.pass(time.Second)
	h.Record(w.view(), nil, w.now)
	at := slices.IndexFunc(h.index, func(e entry) bool { return e.kind == changesBlock })
	broken := h.index[at].n
	if err := log.Read(broken, broken, func(n uint64, value []byte) bool { value[len(value)-1] ^= 1; return true }); err != nil {
		t.Fatal(err)
	}
	h, said := open(t, log)
	if !strings.Contains(said.String(), "parts of the history are damaged") {
		t.Errorf("said %q", said)
	}
	if _, err := h.View(t.Context(), epoch.Add(40*time.Second)); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a moment after the damage: %v", err)
	}
	if v, err := h.View(t.Context(), w.now); err != nil || picture(v) != picture(w.view()) {
		t.Errorf("a moment of another chapter: %v", err)
	}
	if page, err := h.Changes(t.Context(), api.ChangeQuery{Since: epoch, Until: w.now, Limit: 10}); err != nil || !page.LeftOut {
		t.Errorf("changes: %+v, %v", page, err)
	}
}

// FuzzBlock has the decoders read anything.
func FuzzBlock(f *testing.F) {
	log := &store.MemoryLog{}
	h, err := Open(Config{Log: log, MaxBytes: 1 << 20, MaxAge: time.Hour, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	w, r := newWorld(f, 3), rand.New(rand.NewPCG(5, 5))
	for range 30 {
		w.disorder(r)
		w.pass(time.Second)
		h.Record(w.view(), nil, w.now)
	}
	log.Read(0, 1<<63, func(_ uint64, value []byte) bool {
		if b, err := h.coder.unpack(value); err == nil {
			f.Add(byte(b.kind), b.body)
		}
		f.Add(byte(0), value)
		return true
	})
	f.Fuzz(func(t *testing.T, k byte, body []byte) {
		if k == 0 {
			h.coder.unpack(body)
			return
		}
		b, s := block{kind: kind(k), at: 1, body: body}, newState()
		for range 2 {
			c, err := readContent(&b, len(s.agents))
			if err != nil {
				return
			}
			s.apply(&b, &c)
			total := 0
			for _, list := range s.bad {
				total += len(list)
			}
			if total != s.total {
				t.Fatalf("%d paths, counted %d", total, s.total)
			}
			s.view(epoch)
		}
	})
}
