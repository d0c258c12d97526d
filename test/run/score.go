package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is one line of go test -json; see go doc test2json.
type event struct {
	Action      string
	Package     string
	Test        string
	Elapsed     float64
	Output      string
	ImportPath  string // of build-output
	FailedBuild string // the ImportPath whose build output says why the package failed
}

// score counts tests and prints packages as they end. The output of a passed test is dropped.
type score struct {
	out                     io.Writer
	passed, failed, skipped int
	builds                  map[string]*bytes.Buffer
	packages                map[string]*result
}

// result is what is known of a package under test.
type result struct {
	passed, skipped int
	failed          []string // tests in the order in which they failed
	output          map[string]*bytes.Buffer
	order           []string // tests in the order in which they began
}

// maxLines bounds what is printed of one package that failed: a storm of failures has one cause.
const maxLines = 600

func newScore(out io.Writer) *score {
	return &score{out: out, builds: map[string]*bytes.Buffer{}, packages: map[string]*result{}}
}

// fail counts something that is not a test.
func (s *score) fail(what string) {
	s.failed++
	fmt.Fprintln(s.out, "FAIL", what)
}

func (s *score) closing() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", s.passed, s.failed, s.skipped)
}

// read takes the events of one go test run; a line that is none is printed as it is.
func (s *score) read(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil || e.Action == "" {
				fmt.Fprintln(s.out, strings.TrimSpace(string(line)))
			} else {
				s.take(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *score) take(e event) {
	if e.Action == "build-output" {
		write(s.builds, e.ImportPath, e.Output)
		return
	}
	if e.Package == "" {
		return
	}
	p := s.packages[e.Package]
	if p == nil {
		p = &result{output: map[string]*bytes.Buffer{}}
		s.packages[e.Package] = p
	}
	switch {
	case e.Action == "run":
		p.order = append(p.order, e.Test)
	case e.Action == "output":
		write(p.output, e.Test, e.Output)
	case e.Test != "":
		s.testEnds(p, e)
	case e.Action == "pass" || e.Action == "fail" || e.Action == "skip":
		s.packageEnds(p, e)
		delete(s.packages, e.Package)
	}
}

func (s *score) testEnds(p *result, e event) {
	switch e.Action {
	case "pass":
		s.passed++
		p.passed++
	case "skip":
		s.skipped++
		p.skipped++
	case "fail":
		s.failed++
		p.failed = append(p.failed, e.Test)
		return
	default:
		return
	}
	delete(p.output, e.Test)
}

func (s *score) packageEnds(p *result, e event) {
	if e.Action != "fail" {
		if len(p.order) > 0 {
			fmt.Fprintf(s.out, "ok   %s  %.1f s, %s\n", e.Package, e.Elapsed, p.counts())
		}
		return
	}
	fmt.Fprintf(s.out, "FAIL %s  %.1f s, %s\n", e.Package, e.Elapsed, p.counts())
	if len(p.failed) == 0 { // the build, TestMain, or a panic outside any test
		s.failed++
	}
	var text strings.Builder
	if b := s.builds[e.FailedBuild]; b != nil {
		text.Write(b.Bytes())
	}
	for _, test := range p.told() {
		if b := p.output[test]; b != nil {
			text.Write(b.Bytes())
		}
	}
	fmt.Fprintln(s.out, shorten(text.String()))
}

func (p *result) counts() string {
	text := fmt.Sprintf("%d passed", p.passed)
	if n := len(p.failed); n > 0 {
		text += fmt.Sprintf(", %d failed", n)
	}
	if p.skipped > 0 {
		text += fmt.Sprintf(", %d skipped", p.skipped)
	}
	return text
}

// told lists the tests whose output a failed package shows: the failed ones, then those that
// never ended, then what belongs to no test.
func (p *result) told() []string {
	tests := slices.Clone(p.failed)
	for _, test := range p.order {
		if !slices.Contains(tests, test) {
			tests = append(tests, test)
		}
	}
	return append(tests, "")
}

// shorten drops go test's own notes and cuts out the middle of what is too long.
func shorten(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	lines = slices.DeleteFunc(lines, func(l string) bool {
		l = strings.TrimSpace(l)
		return strings.HasPrefix(l, "=== ") || l == "FAIL" || l == "PASS" || strings.HasPrefix(l, "FAIL\t")
	})
	if cut := len(lines) - maxLines; cut > 0 {
		head := slices.Clone(lines[:maxLines/2])
		lines = append(append(head, fmt.Sprintf("… %d lines left out …", cut)), lines[len(lines)-maxLines/2:]...)
	}
	return "     " + strings.Join(lines, "\n     ")
}

func write(buffers map[string]*bytes.Buffer, key, text string) {
	b := buffers[key]
	if b == nil {
		b = &bytes.Buffer{}
		buffers[key] = b
	}
	b.WriteString(text)
}
