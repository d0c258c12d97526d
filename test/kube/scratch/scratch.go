// Package scratch makes temporary folders that are removed also when their owner was killed: then
// by whoever makes the next one.
package scratch

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Folder is a temporary folder of this process.
type Folder struct {
	// Dir is its path.
	Dir string

	lock *os.File // held while the folder is in use
}

// New makes a folder named by the prefix. What processes that have ended left behind under the same
// prefix is removed first; before that, sweep (unless nil) is called with each such path.
func New(prefix string, sweep func(dir string)) (*Folder, error) {
	if err := clean(prefix, sweep); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", prefix+"-")
	if err != nil {
		return nil, err
	}
	// Not inside the folder: the lock must be there before the folder can be taken for abandoned.
	lock, err := take(dir + ".lock")
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &Folder{Dir: dir, lock: lock}, nil
}

// Close removes the folder.
func (f *Folder) Close() error {
	return errors.Join(os.RemoveAll(f.Dir), os.Remove(f.lock.Name()), f.lock.Close())
}

// clean removes abandoned folders: those with a lock file that nobody holds. A folder whose owner
// has not come to make its lock file is not one of them.
func clean(prefix string, sweep func(dir string)) error {
	locks, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"-*.lock"))
	if err != nil {
		return err
	}
	for _, name := range locks {
		lock, err := take(name)
		if err != nil {
			continue // in use, or another user's
		}
		dir := name[:len(name)-len(".lock")]
		if sweep != nil {
			sweep(dir)
		}
		err = errors.Join(os.RemoveAll(dir), os.Remove(name), lock.Close())
		if err != nil {
			return err
		}
	}
	return nil
}

func take(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
