package evidence

import (
	"fmt"
	"io"
	"os"
	"time"
)

// procNet is this thread's view: /proc/net is that of the process's first thread.
const procNet = "/proc/thread-self/net/"

// The most of a file that is read: the files of one line a socket have no end of their own.
const (
	maxProcFile    = 256 << 10
	maxSocketsFile = 2 << 20
)

// readProc reads a file of /proc up to a size, and fails once the time is up.
func readProc(stop time.Time, path string, limit int) ([]byte, error) {
	if time.Now().After(stop) {
		return nil, errTime
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(limit)))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}
