// Command netchecker-agent probes the paths from this node to all others and answers their probes.
// This file turns flags, environment and signals into an agent.Config; the work is in cmd/agent.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"netchecker/cmd/agent"
	"netchecker/cmd/cli"
	"netchecker/mesh"
	"netchecker/probe/evidence"
	"netchecker/probe/service"
)

var version string // stamped at link time

func main() {
	fs := flag.NewFlagSet("netchecker-agent", flag.ContinueOnError)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx, fs, os.Args[1:], os.Getenv)
	stop()
	cli.Exit("netchecker-agent", fs, err)
}

// flags are the values that need more than the flag package to become a Config.
type flags struct {
	logging                                        cli.Logging
	network, advertise, join, urls, auth, services string
	tokenFile, secretFile, evidence                string
	probePort, gossipPort, reportSeconds           uint
	showVersion                                    bool
}

func register(fs *flag.FlagSet, c *agent.Config, f *flags) {
	f.logging.Register(fs)
	fs.StringVar(&c.ServerEndpoint, "serverendpoint", c.ServerEndpoint, "`host:port` of the server while gossip shows none")
	fs.StringVar(&f.urls, "probeurls", "", "`URLs` to probe over HTTP for every report, separated by commas or semicolons")
	fs.UintVar(&f.reportSeconds, "reportinterval", uint(c.ReportInterval/time.Second), "`seconds` between reports")
	fs.IntVar(&c.ZeroExtender, "zeroextenderlength", 0, "`number` of zeros in a report, to test large bodies")
	fs.StringVar(&f.network, "network", "", "`pod or host`; default host when MY_POD_NAME contains hostnet or the pod's IP is the host's")
	fs.StringVar(&f.join, "join", "", "`seeds` of the gossip, host:port or DNS names, separated by commas")
	fs.UintVar(&f.probePort, "probe-port", uint(c.ProbePort), "`port` (UDP and TCP) of echo, identity, /metrics, /healthz and /relay")
	fs.UintVar(&f.gossipPort, "gossip-port", uint(c.GossipPort), "`port` (UDP and TCP) of the gossip")
	fs.IntVar(&c.ProbeRate, "probe-rate", c.ProbeRate, "whole budget of probes per second, a whole `number`")
	fs.DurationVar(&c.Retain, "retain", c.Retain, "how long a dead agent is still probed, a `duration` such as 24h")
	fs.StringVar(&f.auth, "auth", "", "`kubernetes, secret or none`; default secret with -secret-file, else kubernetes where -token-file exists, else none")
	fs.StringVar(&f.secretFile, "secret-file", "", "`file` with the secret shared by servers and agents")
	fs.StringVar(&f.tokenFile, "token-file", "/var/run/secrets/netchecker/token", "`file` of the pod's token for the audience netchecker, for -auth kubernetes")
	fs.StringVar(&c.ServerCA, "server-ca", "", "`file` of the CA of the servers' certificates, which must name the host of -serverendpoint; plain HTTP without it")
	fs.StringVar(&c.GossipKeyFile, "gossip-key-file", "", "`file` with the gossip keyring, read again when it changes")
	fs.StringVar(&c.Zone, "zone", "", "failure domain of the node; default what the server says")
	fs.StringVar(&f.services, "services", "", "`services` to probe besides those the server hands out")
	fs.StringVar(&f.evidence, "evidence", "basic", "`basic or privileged`: what the agent reads of its node; privileged needs NET_ADMIN")
	fs.StringVar(&f.advertise, "advertise", "", "`addresses` to advertise, one a family; default MY_POD_IP, else that of the default route")
	fs.BoolVar(&f.showVersion, "version", false, "print the version and stop")
}

func run(ctx context.Context, fs *flag.FlagSet, args []string, getenv func(string) string) error {
	cfg, f := agent.Default, flags{}
	register(fs, &cfg, &f)
	if err := cli.Parse(fs, args, getenv); err != nil {
		return err
	}
	cfg.Version = cli.Version(version)
	if f.showVersion {
		fmt.Println("netchecker-agent", cfg.Version)
		return nil
	}
	cfg.Log = f.logging.Logger(os.Stderr)
	if err := f.fill(&cfg, getenv); err != nil {
		return &cli.UsageError{Err: err}
	}
	return agent.Run(ctx, cfg)
}

func (f *flags) fill(c *agent.Config, getenv func(string) string) (err error) {
	c.Pod, c.Node = getenv("MY_POD_NAME"), getenv("MY_NODE_NAME")
	if c.Node == "" {
		if c.Node, err = os.Hostname(); err != nil {
			return fmt.Errorf("MY_NODE_NAME is not set and the host has no name: %w", err)
		}
	}
	if c.Pod == "" {
		c.Pod = "netchecker-agent-" + c.Node
	}
	if f.reportSeconds > 24*3600 {
		return fmt.Errorf("-reportinterval %d: want 1 to 86400 seconds", f.reportSeconds)
	}
	c.ReportInterval = time.Duration(f.reportSeconds) * time.Second
	c.ProbeURLs, c.Join = cli.SplitList(f.urls), cli.SplitList(f.join)
	if c.ProbePort, err = cli.Port("-probe-port", f.probePort); err != nil {
		return err
	}
	if c.GossipPort, err = cli.Port("-gossip-port", f.gossipPort); err != nil {
		return err
	}
	if c.Services, err = service.Parse(f.services); err != nil {
		return fmt.Errorf("-services: %w", err)
	}
	if f.evidence != "basic" && f.evidence != "privileged" {
		return fmt.Errorf("-evidence %q: want basic or privileged", f.evidence)
	}
	c.Privileged = f.evidence == "privileged"
	if err := f.trust(c); err != nil {
		return err
	}
	if err := f.addresses(c, getenv); err != nil {
		return err
	}
	return f.chooseNetwork(c, getenv)
}

// trust fills in how the agent proves who it is.
func (f *flags) trust(c *agent.Config) error {
	_, err := os.Stat(f.tokenFile)
	auth, err := cli.Auth(f.auth, f.secretFile, err == nil)
	if err != nil {
		return err
	}
	switch auth {
	case cli.Kubernetes:
		c.TokenFile = f.tokenFile
	case cli.Secret:
		c.Secret, err = cli.ReadSecret(f.secretFile)
	}
	return err
}

// addresses fills in what to advertise: the flag, else MY_POD_IP, else the default route's address.
func (f *flags) addresses(c *agent.Config, getenv func(string) string) error {
	addrs, err := cli.Addresses(f.advertise, getenv)
	if err != nil {
		return err
	}
	for _, v6 := range []bool{false, true} {
		if len(addrs) > 0 {
			break
		}
		if addr, _, err := evidence.DefaultAddress(v6); err == nil {
			addrs = append(addrs, addr)
		}
	}
	for _, addr := range addrs {
		if addr.Is4() {
			c.IPv4 = addr
		} else {
			c.IPv6 = addr
		}
		if mtu, err := evidence.MTUOf(addr); err == nil && c.MTU == 0 {
			c.MTU = uint16(min(mtu, 1<<16-1))
		}
	}
	return nil
}

func (f *flags) chooseNetwork(c *agent.Config, getenv func(string) string) (err error) {
	if f.network != "" {
		if c.Network, err = mesh.ParseNetwork(f.network); err != nil {
			return fmt.Errorf("-network: %w", err)
		}
		return nil
	}
	host, podIP := getenv("MY_HOST_IP"), getenv("MY_POD_IP")
	if strings.Contains(c.Pod, "hostnet") || host != "" && host == podIP {
		c.Network = mesh.Host
	}
	return nil
}
