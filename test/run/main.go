package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	heavy   []string // suffixes of import paths
	plain   []string // the same, without the race detector
	modules []string // folders of further modules, all of whose packages run last
	timeout time.Duration
	failed  string
	summary string
	race    bool
	targets []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	heavy := flag.String("heavy", "", "`packages`, relative to the module, to run last and one at a time")
	plain := flag.String("plain", "", "`packages`, relative to the module, to run one at a time and without the race detector")
	modules := flag.String("modules", "", "`folders` of further modules, whose packages run last, one at a time and without the race detector")
	flag.DurationVar(&o.timeout, "timeout", 20*time.Minute, "limit of one package")
	flag.StringVar(&o.failed, "failed", "", "`name` of something that failed before, to be counted as well")
	flag.StringVar(&o.summary, "summary", "", "`file` to write the closing line to")
	flag.BoolVar(&o.race, "race", true, "use the race detector where there is a C compiler")
	flag.Parse()
	o.heavy, o.plain, o.targets = strings.Fields(*heavy), strings.Fields(*plain), flag.Args()
	o.modules = strings.Fields(*modules)
	ok, err := run(ctx, o, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out io.Writer) (ok bool, err error) {
	var list []byte
	if len(o.targets) > 0 { // without any, only modules are run
		if list, err = exec.CommandContext(ctx, "go", append([]string{"list"}, o.targets...)...).Output(); err != nil {
			return false, fmt.Errorf("go list: %w: %s", err, stderrOf(err))
		}
	}
	if o.race && !hasCompiler(ctx) {
		fmt.Fprintln(out, "no C compiler: running without the race detector")
		o.race = false
	}
	rest, plain := split(strings.Fields(string(list)), o.plain)
	light, heavy := split(rest, o.heavy)
	s := newScore(out)
	if o.failed != "" {
		s.fail(o.failed)
	}
	for _, group := range []struct {
		race            bool
		flags, packages []string
	}{{o.race, nil, light}, {o.race, []string{"-p", "1"}, heavy}, {false, []string{"-p", "1"}, plain}} {
		if len(group.packages) == 0 {
			continue
		}
		o.race = group.race
		if err := goTest(ctx, o, s, ".", append(group.flags, group.packages...)); err != nil {
			return false, err
		}
	}
	o.race = false // there is nothing of ours to race in what renders and packs files
	for _, folder := range o.modules {
		// Their tests build and run the product, of which the cache of results knows nothing.
		if err := goTest(ctx, o, s, folder, []string{"-count=1", "-p", "1", "./..."}); err != nil {
			return false, err
		}
	}
	closing := s.closing()
	if o.summary != "" {
		if err := os.WriteFile(o.summary, []byte(closing+"\n"), 0o644); err != nil {
			return false, err
		}
	}
	fmt.Fprintln(out, closing)
	return s.failed == 0, nil
}

// goTest runs one group in a folder. That tests fail is no error: the score has them.
func goTest(ctx context.Context, o options, s *score, folder string, args []string) error {
	flags := []string{"test", "-json", "-shuffle=on", "-timeout=" + o.timeout.String()}
	if o.race {
		flags = append(flags, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(flags, args...)...)
	cmd.Dir = folder
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = os.Stderr
	if o.race {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	before := s.failed
	readErr := s.read(pipe)
	err = cmd.Wait()
	if _, exited := errors.AsType[*exec.ExitError](err); exited && ctx.Err() == nil {
		if s.failed == before {
			s.fail("go test in " + folder + ": " + err.Error())
		}
		err = nil
	}
	return errors.Join(err, readErr)
}

func split(packages, suffixes []string) (light, heavy []string) {
	for _, p := range packages {
		if slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(p, "/"+s) || strings.Contains(p, "/"+s+"/") }) {
			heavy = append(heavy, p)
		} else {
			light = append(light, p)
		}
	}
	return light, heavy
}

func hasCompiler(ctx context.Context) bool {
	cc, err := exec.CommandContext(ctx, "go", "env", "CC").Output()
	if err != nil || len(strings.Fields(string(cc))) == 0 {
		return false
	}
	_, err = exec.LookPath(strings.Fields(string(cc))[0])
	return err == nil
}

func stderrOf(err error) string {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return strings.TrimSpace(string(exit.Stderr))
	}
	return ""
}
