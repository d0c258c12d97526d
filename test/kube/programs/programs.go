// Package programs builds what a Kubernetes cluster consists of and keeps it in the user's cache
// folder, so that only the first run on a machine pays for it. Sources are the Go module proxy and,
// for the container runtime, the Debian archive; nothing is installed.
package programs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Version is the version of Kubernetes; programs/kubernetes/go.mod names the same.
const Version = "v1.37.2"

// components are the names under which the one Kubernetes binary is found.
var components = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"}

// sources decide what is built: a change of any of them makes a new folder in the cache.
var sources = []string{
	"kubernetes/go.mod", "kubernetes/go.sum", "kubernetes/main.go",
	"coredns/go.mod", "coredns/go.sum", "coredns/main.go", "pause/main.go",
	"helm/go.mod", "helm/go.sum",
}

// Store is a folder in the cache.
type Store struct {
	// Dir is the folder.
	Dir string

	source string // the folder of this package
	log    io.Writer
}

// Open finds the folder for the sources and the Go version of today. Nothing is built yet. What
// takes long is said on log.
func Open(ctx context.Context, log io.Writer) (*Store, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "netchecker/test/kube/programs").Output()
	if err != nil {
		return nil, fmt.Errorf("find the sources of the programs: %w", withStderr(err))
	}
	s := &Store{source: strings.TrimSpace(string(out)), log: log}
	hash := sha256.New()
	fmt.Fprintln(hash, runtime.Version(), runtime.GOARCH, linkerFlags())
	for _, name := range sources {
		text, err := os.ReadFile(filepath.Join(s.source, name))
		if err != nil {
			return nil, err
		}
		hash.Write(text)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("folder to keep the programs in: %w", err)
	}
	s.Dir = filepath.Join(cache, "netchecker", "kube-"+hex.EncodeToString(hash.Sum(nil)[:8]))
	if err := os.MkdirAll(s.Bin(), 0o755); err != nil {
		return nil, err
	}
	now := time.Now()
	return s, os.Chtimes(s.Dir, now, now) // in use: not for dropOld
}

// Bin holds etcd, the Kubernetes components, coredns, pause and helm.
func (s *Store) Bin() string { return filepath.Join(s.Dir, "bin") }

// Debian is the root of the unpacked Debian packages: containerd, runc and the CNI plugins.
func (s *Store) Debian() string { return filepath.Join(s.Dir, "debian") }

// Images holds an archive for each container image of the cluster's own.
func (s *Store) Images() string { return filepath.Join(s.Dir, "images") }

// Kubernetes builds etcd and the Kubernetes components unless they are there.
func (s *Store) Kubernetes(ctx context.Context) error {
	return s.locked(func() error { return s.kubernetes(ctx) })
}

// All builds and fetches whatever a whole cluster needs unless it is there.
func (s *Store) All(ctx context.Context) error {
	return s.locked(func() error {
		if err := s.kubernetes(ctx); err != nil {
			return err
		}
		for name, path := range map[string]string{"coredns": ".", "pause": ".", "helm": "helm.sh/helm/v4/cmd/helm"} {
			if err := s.build(ctx, name, path, ""); err != nil {
				return err
			}
		}
		if err := s.debian(ctx); err != nil {
			return err
		}
		return s.images()
	})
}

// locked runs fn while no other process builds in the same folder.
func (s *Store) locked(fn func() error) error {
	f, err := os.OpenFile(s.Dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		fmt.Fprintln(s.log, "waiting for another process that builds in", s.Dir)
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			return err
		}
	}
	return fn()
}

func (s *Store) kubernetes(ctx context.Context) error {
	if err := s.build(ctx, "kubernetes", ".", linkerFlags()); err != nil {
		return err
	}
	for _, name := range components {
		link := filepath.Join(s.Bin(), name)
		if err := os.Symlink("kubernetes", link); err != nil && !os.IsExist(err) {
			return err
		}
	}
	return nil
}

// linkerFlags stamp the version, which Kubernetes otherwise has as v0.0.0-master+$Format: its own
// clients cannot parse that.
func linkerFlags() string {
	number := strings.Split(strings.TrimPrefix(Version, "v"), ".")
	var flags strings.Builder
	for _, value := range []string{
		"gitVersion=" + Version, "gitMajor=" + number[0], "gitMinor=" + number[1],
		"gitTreeState=clean", "gitCommit=0", "buildDate=1970-01-01T00:00:00Z",
	} {
		flags.WriteString(" -X k8s.io/component-base/version." + value)
	}
	return flags.String()
}

// build makes bin/name from a package path in this package's folder of the same name. A file is there
// only when it is whole.
func (s *Store) build(ctx context.Context, name, path, ldflags string) error {
	target := filepath.Join(s.Bin(), name)
	if _, err := os.Stat(target); err == nil {
		return nil
	}
	if err := s.dropOld(); err != nil {
		return err
	}
	fmt.Fprintf(s.log, "building %s for %s (kept for later runs; the first time on a machine Kubernetes takes 10 to 30 minutes)\n", name, s.Dir)
	began := time.Now()
	part := target + ".part"
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w"+ldflags, "-o", part, path)
	cmd.Dir = filepath.Join(s.source, name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", name, err, out)
	}
	fmt.Fprintf(s.log, "built %s in %.0f s\n", name, time.Since(began).Seconds())
	return os.Rename(part, target)
}

// unused is how long a folder of other sources is kept: two clones of different age take turns.
const unused = 30 * 24 * time.Hour

// dropOld removes the folders of other sources that nobody has used for long: each is 0.5 GB.
func (s *Store) dropOld() error {
	dirs, err := filepath.Glob(filepath.Join(filepath.Dir(s.Dir), "kube-*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < unused {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// withStderr adds what a program wrote to the error of its run.
func withStderr(err error) error {
	if exit, ok := err.(*exec.ExitError); ok {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	return err
}
