package lab

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
)

// Run runs a command as root inside a namespace, waits for it and returns what it wrote. It is
// meant for breaking and inspecting the network, not for programs under test.
func (l *Lab) Run(ns, name string, args ...string) (string, error) {
	return l.runInput(ns, "", name, args...)
}

func (l *Lab) runInput(ns, stdin, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// Only the fork has to happen inside; the child keeps the namespace of the forking thread.
	err := l.Do(ns, cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		err = fmt.Errorf("%s: %s: %w: %s", ns, strings.Join(cmd.Args, " "), err, bytes.TrimSpace(out.Bytes()))
	}
	return out.String(), err
}
