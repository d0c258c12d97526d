// Command stage runs a lab with all programs of netchecker in it, the server with its diagnosis, and
// lets somebody outside break and mend it: it prints the server's address on this machine and then
// takes commands on standard input, one a line, each answered by "ok" or "error: …".
//
//	inject FAULT [NODE …]   break something; lab -faults lists what
//	heal                    mend everything
//
// It ends, and the lab with it, when the input does.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"netchecker/test/lab"
	"netchecker/test/lab/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	bin := flag.String("bin", "bin", "`folder` with the programs")
	nodes := flag.Int("nodes", 5, "number of nodes")
	listen := flag.String("listen", "127.0.0.1:0", "`host:port` of this machine that leads to the server")
	privileged := flag.Bool("privileged", false, "let the host agents read the packet filter")
	flag.Parse()
	cfg := cluster.Config{Bin: *bin, Privileged: *privileged, ServerArgs: []string{"-diagnose"}}
	if err := run(ctx, cfg, *listen, *nodes, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "stage:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, cfg cluster.Config, listen string, nodes int, in io.Reader, out io.Writer) (err error) {
	l, err := lab.Start(ctx, lab.Config{Nodes: nodes})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if cfg.Logs, err = os.MkdirTemp("", "netchecker-stage-"); err != nil {
		return err
	}
	defer os.RemoveAll(cfg.Logs)
	server := l.ServerPod()
	at, err := l.Forward(ctx, listen, server.Namespace, fmt.Sprintf("%s:%d", server.Addr, lab.ServerPort))
	if err != nil {
		return err
	}
	c, err := cluster.Start(ctx, l, cfg)
	if err != nil {
		return err
	}
	defer c.Stop()
	fmt.Fprintf(out, "http://%s/\n", at)
	lines := make(chan string)
	go func() { // ends with the process: a read of standard input cannot be called back
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			lines <- s.Text()
		}
	}()
	var heal []func() error
	for {
		select {
		case <-ctx.Done():
			return nil
		case line, more := <-lines:
			if !more {
				return nil
			}
			if err := command(ctx, l, strings.Fields(line), &heal); err != nil {
				fmt.Fprintln(out, "error:", err)
				continue
			}
			fmt.Fprintln(out, "ok")
		}
	}
}

// command breaks or mends something.
func command(ctx context.Context, l *lab.Lab, words []string, heal *[]func() error) error {
	switch {
	case len(words) > 1 && words[0] == "inject":
		var at []int
		for _, w := range words[2:] {
			n, err := strconv.Atoi(w)
			if err != nil {
				return fmt.Errorf("node %q: want a number", w)
			}
			at = append(at, n)
		}
		mend, err := l.Inject(ctx, words[1], at...)
		if err == nil {
			*heal = append(*heal, mend)
		}
		return err
	case len(words) == 1 && words[0] == "heal":
		var errs []error
		for _, mend := range *heal {
			errs = append(errs, mend())
		}
		*heal = nil
		return errors.Join(errs...)
	}
	return fmt.Errorf("command %q: want inject FAULT [NODE …] or heal", strings.Join(words, " "))
}
