package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func feed(t *testing.T, lines ...string) (*score, string) {
	t.Helper()
	var out strings.Builder
	s := newScore(&out)
	if err := s.read(strings.NewReader(strings.Join(lines, "\n"))); err != nil {
		t.Fatal(err)
	}
	return s, out.String()
}

func TestPassedTestsAreCountedAndTheirOutputIsDropped(t *testing.T) {
	s, out := feed(t,
		`{"Action":"run","Package":"a","Test":"TestA"}`,
		`{"Action":"output","Package":"a","Test":"TestA","Output":"noise\n"}`,
		`{"Action":"pass","Package":"a","Test":"TestA"}`,
		`{"Action":"run","Package":"a","Test":"TestB"}`,
		`{"Action":"skip","Package":"a","Test":"TestB"}`,
		`{"Action":"pass","Package":"a","Elapsed":1.25}`,
		`{"Action":"skip","Package":"no/tests"}`,
	)
	if want := "ok   a  1.2 s, 1 passed, 1 skipped\n"; out != want {
		t.Errorf("printed %q, want %q", out, want)
	}
	if got, want := s.closing(), "1 passed, 0 failed, 1 skipped"; got != want {
		t.Errorf("closing line %q, want %q", got, want)
	}
}

func TestAFailedPackageShowsItsFailuresItsUnfinishedTestsAndItsOwnOutput(t *testing.T) {
	s, out := feed(t,
		`{"Action":"run","Package":"a","Test":"TestHangs"}`,
		`{"Action":"output","Package":"a","Test":"TestHangs","Output":"hanging\n"}`,
		`{"Action":"run","Package":"a","Test":"TestBad"}`,
		`{"Action":"output","Package":"a","Test":"TestBad","Output":"=== RUN TestBad\n"}`,
		`{"Action":"output","Package":"a","Test":"TestBad","Output":"bad thing\n"}`,
		`{"Action":"fail","Package":"a","Test":"TestBad"}`,
		`{"Action":"output","Package":"a","Output":"panic: late\n"}`,
		`{"Action":"output","Package":"a","Output":"FAIL\n"}`,
		`{"Action":"fail","Package":"a","Elapsed":2}`,
	)
	want := "FAIL a  2.0 s, 0 passed, 1 failed\n     bad thing\n     hanging\n     panic: late\n"
	if out != want {
		t.Errorf("printed %q, want %q", out, want)
	}
	if s.failed != 1 {
		t.Errorf("%d failed, want 1", s.failed)
	}
}

func TestAPackageThatDoesNotBuildCountsAsOneFailure(t *testing.T) {
	s, out := feed(t,
		`{"ImportPath":"a [a.test]","Action":"build-output","Output":"x.go:1: undefined: y\n"}`,
		`{"ImportPath":"a [a.test]","Action":"build-fail"}`,
		`{"Action":"start","Package":"a"}`,
		`{"Action":"fail","Package":"a","FailedBuild":"a [a.test]"}`,
	)
	if !strings.Contains(out, "undefined: y") || s.failed != 1 {
		t.Errorf("printed %q and counted %d, want the compiler's words and 1", out, s.failed)
	}
}

func TestALineThatIsNoEventIsPrinted(t *testing.T) {
	if _, out := feed(t, "go: warning: something", `{"x":1}`); out != "go: warning: something\n{\"x\":1}\n" {
		t.Errorf("printed %q", out)
	}
}

func TestLongOutputLosesItsMiddle(t *testing.T) {
	var text strings.Builder
	for i := range 2 * maxLines {
		fmt.Fprintln(&text, "line", i)
	}
	got := shorten(text.String())
	if n := strings.Count(got, "\n") + 1; n != maxLines+1 {
		t.Errorf("%d lines, want %d", n, maxLines+1)
	}
	for _, want := range []string{"line 0\n", "line 1199", "600 lines left out"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q", want)
		}
	}
}

func TestHeavyPackagesAreSplitOff(t *testing.T) {
	light, heavy := split([]string{"m/a", "m/test/lab", "m/test/lab/cmd/lab", "m/test/label"}, []string{"test/lab"})
	if !slices.Equal(light, []string{"m/a", "m/test/label"}) || !slices.Equal(heavy, []string{"m/test/lab", "m/test/lab/cmd/lab"}) {
		t.Errorf("light %q, heavy %q", light, heavy)
	}
}

func TestARealRunEndsWithTheClosingLine(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":    "module m\n\ngo 1.26.0\n",
		"a_test.go": "package m\n\nimport \"testing\"\n\nfunc TestGood(t *testing.T) {}\n\nfunc TestBad(t *testing.T) { t.Fatal(\"the reason\") }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	var out strings.Builder
	summary := filepath.Join(dir, "summary")
	ok, err := run(context.Background(), options{timeout: time.Minute, summary: summary, failed: "make check", targets: []string{"./..."}}, &out)
	if err != nil || ok {
		t.Fatalf("run returned %v, %v, want false and no error", ok, err)
	}
	closing := "1 passed, 2 failed, 0 skipped\n"
	if !strings.HasSuffix(out.String(), closing) || !strings.Contains(out.String(), "the reason") {
		t.Errorf("printed %q", out.String())
	}
	if got, _ := os.ReadFile(summary); string(got) != closing {
		t.Errorf("wrote %q", got)
	}
}

func TestModulesRunWithoutAnyPackageOfTheOwn(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":    "module m\n\ngo 1.26.0\n",
		"a_test.go": "package m\n\nimport \"testing\"\n\nfunc TestGood(t *testing.T) {}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	ok, err := run(context.Background(), options{timeout: time.Minute, modules: []string{dir}}, &out)
	if err != nil || !ok || !strings.HasSuffix(out.String(), "1 passed, 0 failed, 0 skipped\n") {
		t.Errorf("run returned %v, %v and printed %q", ok, err, out.String())
	}
}
