package main

import (
	"bufio"
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"netchecker/cmd/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var w world
	endpoint := flag.String("endpoint", "127.0.0.1:0", "`host:port` to serve on")
	nodes := flag.Int("nodes", 4, "number of nodes")
	flag.IntVar(&w.zones, "zones", 2, "number of zones; 0 for none")
	flag.BoolVar(&w.long, "long-names", false, "names of 253 characters")
	flag.DurationVar(&w.every, "interval", 0, "time between two rows of an agent, at most a minute; as real agents when not given")
	data := flag.String("data-dir", "", "`folder` for what the server keeps")
	through := flag.String("through", "", "`URL` to which the agents post in place of the server's own")
	verbose := flag.Bool("verbose", false, "show the server's log")
	flag.Parse()
	log := slog.New(slog.DiscardHandler)
	if *verbose {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if err := w.build(*nodes); err != nil {
		fmt.Fprintln(os.Stderr, "synthetic:", err)
		os.Exit(2)
	}
	r := &runner{world: &w, cfg: server.Default, through: *through}
	r.cfg.Endpoint, r.cfg.DataDir, r.cfg.Log, r.cfg.Version, r.cfg.Diagnose, r.cfg.GossipPort = *endpoint, *data, log, "synthetic", true, 0
	if err := r.run(ctx, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "synthetic:", err)
		os.Exit(1)
	}
}

// runner runs one server at a time and the agents that report to it.
type runner struct {
	world   *world
	cfg     server.Config
	through string // where the agents post; "" for the server itself
	stop    context.CancelFunc
	ended   chan error
}

// run takes commands until the input or ctx ends. A closed input without any command, as a shell
// gives to what it runs in the background, would end it at once: that is meant.
func (r *runner) run(ctx context.Context, in io.Reader, out io.Writer) error {
	if err := r.up(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "http://%s/\n", r.cfg.Endpoint)
	g, ctx := errgroup.WithContext(ctx)
	ctx, end := context.WithCancel(ctx)
	defer end()
	g.Go(func() error { return r.world.report(ctx, cmp.Or(r.through, "http://"+r.cfg.Endpoint)) })
	lines := make(chan string)
	go func() { // ends with the process: a read of standard input cannot be called back
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			lines <- s.Text()
		}
	}()
	for open := true; open; {
		select {
		case <-ctx.Done():
			open = false
		case line, more := <-lines:
			if open = more && line != "quit"; open {
				r.answer(ctx, line, out)
			}
		}
	}
	end()
	return first(g.Wait(), r.down())
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) answer(ctx context.Context, line string, out io.Writer) {
	if err := r.command(ctx, strings.Fields(line)); err != nil {
		fmt.Fprintln(out, "error:", err)
		return
	}
	fmt.Fprintln(out, "ok")
}

func (r *runner) command(ctx context.Context, words []string) error {
	if len(words) == 0 {
		return nil
	}
	switch words[0] {
	case "up":
		return r.up(ctx)
	case "down":
		return r.down()
	}
	return r.world.command(words)
}

func (r *runner) up(ctx context.Context) error {
	if r.stop != nil {
		return fmt.Errorf("the server runs already")
	}
	listening := make(chan net.Addr, 1)
	cfg := r.cfg
	cfg.Listening = func(a net.Addr) { listening <- a }
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	r.stop, r.ended = stop, make(chan error, 1)
	go func() { r.ended <- server.Run(life, cfg) }() // down waits for it
	select {
	case a := <-listening:
		r.cfg.Endpoint = a.String()
		return nil
	case err := <-r.ended:
		r.stop = nil
		return err
	case <-time.After(10 * time.Second):
		return fmt.Errorf("the server does not listen within 10 s")
	}
}

func (r *runner) down() error {
	if r.stop == nil {
		return nil
	}
	r.stop()
	r.stop = nil
	return <-r.ended
}
