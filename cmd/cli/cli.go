// Package cli is what the commands share: flags with one or two dashes that can also come from the
// environment, errors in one line with exit status 2, and the log. It knows nothing of what the
// commands do.
package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
)

// EnvPrefix begins the environment variable of every flag: -probe-rate is NETCHECKER_PROBE_RATE.
const EnvPrefix = "NETCHECKER_"

// UsageError is an unknown flag or a bad value: one line for the person, exit status 2.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// Usagef returns a UsageError.
func Usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// Parse reads args into fs, and before them the environment by getenv. Arguments that are no flags
// are an error, as are unknown flags and bad values; flag.ErrHelp stands for itself.
func Parse(fs *flag.FlagSet, args []string, getenv func(string) string) error {
	fs.Init(fs.Name(), flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	var bad error
	fs.VisitAll(func(f *flag.Flag) {
		name := EnvPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if value := getenv(name); value != "" && bad == nil {
			if err := fs.Set(f.Name, value); err != nil {
				bad = Usagef("%s=%q: %v: -%s is %s", name, value, err, f.Name, meaning(f))
			}
		}
	})
	if bad != nil {
		return bad
	}
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return &UsageError{explain(fs, err)}
	}
	if fs.NArg() > 0 {
		return Usagef("argument %q: want flags only", fs.Arg(0))
	}
	return nil
}

// explain adds what a flag takes to the complaint about its value, which says no more than "parse error".
func explain(fs *flag.FlagSet, err error) error {
	_, rest, _ := strings.Cut(err.Error(), "for flag -")
	name, _, _ := strings.Cut(rest, ":")
	if f := fs.Lookup(name); f != nil {
		return fmt.Errorf("%w: -%s is %s", err, name, meaning(f))
	}
	return err
}

func meaning(f *flag.Flag) string {
	_, usage := flag.UnquoteUsage(f)
	return usage
}

// Logging are the logging flags of the original programs.
type Logging struct {
	verbosity int
	toStderr  bool
	alsoErr   bool
}

// Register adds -v, -logtostderr and -alsologtostderr. The log always goes to standard error; the
// last two are taken for the sake of old manifests.
func (l *Logging) Register(fs *flag.FlagSet) {
	fs.IntVar(&l.verbosity, "v", 0, "log `level`: 0 what happens, 5 and more every detail")
	fs.BoolVar(&l.toStderr, "logtostderr", true, "kept for old manifests: the log always goes to standard error")
	fs.BoolVar(&l.alsoErr, "alsologtostderr", false, "kept for old manifests: the log always goes to standard error")
}

// Logger returns the log as the flags want it.
func (l *Logging) Logger(w io.Writer) *slog.Logger {
	level := slog.LevelInfo
	if l.verbosity > 5 {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// Exit ends the program as err asks: status 0 for nil and help, 2 with one line for a UsageError,
// 1 with one line for anything else.
func Exit(program string, fs *flag.FlagSet, err error) {
	switch {
	case err == nil:
		os.Exit(0)
	case errors.Is(err, flag.ErrHelp):
		fs.SetOutput(os.Stdout)
		fmt.Printf("%s: flags, each also from the environment as %s<FLAG>:\n", program, EnvPrefix)
		fs.PrintDefaults()
		os.Exit(0)
	}
	line := strings.ReplaceAll(err.Error(), "\n", "; ")
	fmt.Fprintf(os.Stderr, "%s: %s\n", program, line)
	if _, usage := errors.AsType[*UsageError](err); usage {
		os.Exit(2)
	}
	os.Exit(1)
}

// Version is what -version and the build_info metric say: what was stamped at link time, else the
// revision that the Go toolchain stamped, else "unknown".
func Version(stamped string) string {
	if stamped != "" {
		return stamped
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
