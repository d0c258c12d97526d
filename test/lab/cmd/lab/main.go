// Command lab brings up a cluster network of namespaces, shows where everything is, and removes
// it on Ctrl-C. It starts no agent; see package lab.
package main

import (
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
	"time"

	"netchecker/test/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var cfg lab.Config
	flags := flag.NewFlagSet("lab", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.IntVar(&cfg.Nodes, "nodes", 5, "number of nodes")
	flags.IntVar(&cfg.Zones, "zones", 1, "number of racks")
	mode := flags.String("mode", string(lab.VXLAN), "vxlan or hostgw")
	flags.BoolVar(&cfg.IPv6, "ipv6", false, "add IPv6, routed between the nodes")
	flags.StringVar(&cfg.Name, "name", "lab", "part of the namespaces' names")
	clean := flags.Bool("clean", false, "remove what killed labs left, and exit")
	list := flags.Bool("faults", false, "list the faults, and exit")
	var broken []injection
	flags.Func("fault", "inject a fault, such as nic-down:3 or sg-pair:3,4; may be repeated", func(spec string) error {
		i, err := parseInjection(spec)
		broken = append(broken, i)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	cfg.Mode = lab.Mode(*mode)
	switch {
	case *list:
		listFaults(out)
		return nil
	case *clean:
		names, err := lab.Clean()
		for _, name := range names {
			fmt.Fprintln(out, "removed", name)
		}
		return err
	}
	begin := time.Now()
	l, err := lab.Start(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "lab %q is up after %v\n", cfg.Name, time.Since(begin).Round(time.Millisecond))
	describe(out, l)
	for _, i := range broken {
		if _, err := i.fault.Inject(ctx, l, i.args...); err != nil {
			return errors.Join(err, l.Close())
		}
		fmt.Fprintf(out, "%s %s is in force: %s\n", i.fault.Name, i.text, i.fault.About)
	}
	fmt.Fprintln(out, "Ctrl-C removes it.")
	<-ctx.Done()
	return l.Close()
}

// injection is a fault with its arguments, written NAME:1,2.
type injection struct {
	fault lab.Fault
	args  []int
	text  string
}

func parseInjection(spec string) (i injection, err error) {
	name, text, found := strings.Cut(spec, ":")
	if i.fault, err = lab.FindFault(name); err != nil || !found {
		return i, err
	}
	i.text = text
	for word := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return i, err
		}
		i.args = append(i.args, n)
	}
	return i, nil
}

func listFaults(out io.Writer) {
	for _, f := range lab.Faults() {
		usage := f.Name
		if f.Args != "" {
			usage += ":" + strings.ReplaceAll(f.Args, " ", ",")
		}
		fmt.Fprintf(out, "%-32s %s\n", usage, f.About)
	}
}

func describe(out io.Writer, l *lab.Lab) {
	fmt.Fprintf(out, "%-22s %-8s %-7s %-14s %s\n", "NAMESPACE", "NODE", "ZONE", "IPv4", "IPv6")
	line := func(e lab.Endpoint) {
		v6 := ""
		if e.Addr6.IsValid() {
			v6 = e.Addr6.String()
		}
		fmt.Fprintf(out, "%-22s %-8s %-7s %-14s %s\n", e.Namespace, e.NodeName, e.Zone, e.Addr, v6)
	}
	line(l.Fabric())
	for i := 1; i <= l.Nodes(); i++ {
		line(l.Node(i))
		line(l.Pod(i))
	}
	line(l.ServerPod())
	line(l.DNSPod())
	fmt.Fprintf(out, "server: %s:%d in its pod, service %s:%d, port %d of every node; DNS: %s\n",
		l.ServerPod().Addr, lab.ServerPort, lab.ServerVIP, lab.ServerPort, lab.ServerNodePort, lab.DNSVIP)
	fmt.Fprintf(out, "enter a node: ip netns exec %s bash\n", l.Node(1).Namespace)
}
