package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// usableCgroups checks what node.sh relies on.
func usableCgroups() error {
	for _, controller := range []string{"cpu", "cpuset", "memory", "pids"} {
		if _, err := os.Stat(filepath.Join("/sys/fs/cgroup", controller)); err != nil {
			return errors.New("a cluster needs cgroup v1 hierarchies: " + err.Error())
		}
	}
	return nil
}

// removeCgroups removes the cgroups of the cluster in a folder. They stay for a moment after their
// last process, so it tries for a while; what is left then costs nothing but its name.
func removeCgroups(dir string) {
	for range 50 {
		left := 0
		roots, _ := filepath.Glob(filepath.Join("/sys/fs/cgroup", "*", filepath.Base(dir)))
		for _, root := range roots {
			var groups []string
			filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					groups = append(groups, path)
				}
				return nil
			})
			for _, group := range slices.Backward(groups) {
				if os.Remove(group) != nil {
					left++
				}
			}
		}
		if left == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func runAll(ctx context.Context, command []string) error {
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%v: %w: %s", command, err, out)
	}
	return nil
}
