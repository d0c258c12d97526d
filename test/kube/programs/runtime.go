package programs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// debianPackages are the container runtime: programs of C and of Go that cannot be built from one Go
// module.
var debianPackages = []string{"containerd", "runc", "containernetworking-plugins"}

// debian downloads and unpacks them without installing them: on a machine with Docker an installed
// containerd would be another one.
func (s *Store) debian(ctx context.Context) error {
	want := fmt.Sprintln(debianPackages)
	if have, err := os.ReadFile(filepath.Join(s.Debian(), "packages")); err == nil && string(have) == want {
		return nil
	}
	part := s.Debian() + ".part"
	if err := errors.Join(os.RemoveAll(part), os.RemoveAll(s.Debian()), os.MkdirAll(part, 0o755)); err != nil {
		return err
	}
	fmt.Fprintln(s.log, "downloading", debianPackages, "from the Debian archive")
	// The sandbox user of apt cannot write below the cache folder of root.
	args := append([]string{"-qq", "-o", "APT::Sandbox::User=root", "download"}, debianPackages...)
	if err := runIn(ctx, part, "apt-get", args...); err != nil {
		fmt.Fprintln(s.log, "once more with fresh lists of packages")
		if err := errors.Join(runIn(ctx, part, "apt-get", "-qq", "update"), runIn(ctx, part, "apt-get", args...)); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join(part, "*.deb"))
	if err != nil {
		return err
	}
	if len(files) != len(debianPackages) {
		return fmt.Errorf("apt-get download %v: got %v", debianPackages, files)
	}
	for _, file := range files {
		if err := runIn(ctx, part, "dpkg", "-x", file, part); err != nil {
			return err
		}
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(part, "packages"), []byte(want), 0o644); err != nil {
		return err
	}
	return os.Rename(part, s.Debian())
}

// images packs the two images that the cluster needs before anything of ours runs.
func (s *Store) images() error {
	if err := os.MkdirAll(s.Images(), 0o755); err != nil {
		return err
	}
	for _, name := range []string{"pause", "coredns"} {
		target := filepath.Join(s.Images(), name+".tar")
		if _, err := os.Stat(target); err == nil {
			continue
		}
		if err := pack(target, "localhost/"+name+":1", filepath.Join(s.Bin(), name)); err != nil {
			return fmt.Errorf("image %s: %w", name, err)
		}
	}
	return nil
}

func runIn(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd, err, out)
	}
	return nil
}
