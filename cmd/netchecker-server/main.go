// Command netchecker-server takes the agents' rows and reports and says which pairs of nodes fail.
// This file turns flags, environment and signals into a server.Config; the work is in cmd/server.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"netchecker/cmd/cli"
	"netchecker/cmd/server"
	"netchecker/mesh"
	"netchecker/probe/evidence"
	"netchecker/probe/service"
)

var version string // stamped at link time

func main() {
	fs := flag.NewFlagSet("netchecker-server", flag.ContinueOnError)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	err := run(ctx, fs, os.Args[1:], os.Getenv)
	stop()
	cli.Exit("netchecker-server", fs, err)
}

// flags are the values that need more than the flag package to become a Config.
type flags struct {
	logging                                     cli.Logging
	auth, secretFile, join, services, advertise string
	gossipPort                                  uint
	checkInterval                               time.Duration
	etcdEndpoints, agentAccounts, kubeconfig    string
	showVersion                                 bool
}

func register(fs *flag.FlagSet, c *server.Config, f *flags) {
	f.logging.Register(fs)
	fs.StringVar(&c.Endpoint, "endpoint", c.Endpoint, "`host:port` to serve on")
	fs.StringVar(&c.DataDir, "data-dir", "", "`folder` that keeps reports and history over a restart; memory without it")
	fs.Var((*cli.Size)(&c.HistorySize), "history-size", "how much of what happened is kept, in `bytes` or as 256MiB; 0 keeps none")
	fs.Var((*cli.Seconds)(&c.HistoryAge), "history-age", "how long what happened is kept, in `seconds` or as a duration")
	fs.Var((*cli.Seconds)(&c.ReportTTL), "report-ttl", "how long an agent nobody expects is remembered after its last report, in `seconds` or as a duration")
	fs.Var((*cli.Seconds)(&c.Etcd.Timeout), "ping-timeout", "how long etcd may take for an answer, in `seconds` or as a duration; default 5")
	fs.Var((*cli.Seconds)(&f.checkInterval), "check-interval", "kept for old manifests: the check is made when it is asked for")
	fs.StringVar(&f.auth, "auth", "", "`kubernetes, secret or none`; default secret with -secret-file, else none")
	fs.StringVar(&f.secretFile, "secret-file", "", "`file` with the secret shared by servers and agents; with -auth kubernetes the master secrets that servers alone share, one a line")
	fs.StringVar(&f.agentAccounts, "agent-accounts", "netchecker-agent", "service `accounts` of agents that may enrol, NAME for one of the server's own namespace or NAMESPACE/NAME, separated by commas")
	fs.BoolVar(&c.AllowUnsigned, "allow-unauthenticated-reports", false, "take reports of old agents, which carry no signature")
	fs.StringVar(&f.join, "join", "", "`seeds` of the gossip, host:port or DNS names, separated by commas")
	fs.UintVar(&f.gossipPort, "gossip-port", uint(c.GossipPort), "`port` (UDP and TCP) of the gossip; 0 for none")
	fs.StringVar(&c.GossipKeyFile, "gossip-key-file", "", "`file` with the gossip keyring, read again when it changes")
	fs.StringVar(&f.advertise, "advertise", "", "`addresses` for the gossip to advertise; default MY_POD_IP, else that of the default route")
	fs.StringVar(&f.services, "services", "", "`services` that the agents probe")
	fs.IntVar(&c.PairMetricsNodes, "pair-metrics-nodes", c.PairMetricsNodes, "up to how many `nodes` every path has metrics of its own")
	fs.BoolVar(&c.Diagnose, "diagnose", c.Diagnose, "name the broken part and why in /api/v1/findings")
	fs.StringVar(&f.kubeconfig, "kubeconfig", "", "`file` that leads to the API server of Kubernetes; default the pod's service account, where one is mounted")
	fs.BoolVar(&c.ReportObjects, "kubeproxyinit", false, "keep reports as objects agents.network-checker.ext of Kubernetes, in the server's namespace")
	fs.StringVar(&f.etcdEndpoints, "etcd-endpoints", "", "keep reports in etcd at these `addresses`, host:port or URLs, separated by commas")
	fs.StringVar(&c.Etcd.Tree, "etcd-tree", "netchecker", "root of the `keys` in etcd")
	fs.StringVar(&c.Etcd.Key, "etcd-key", "", "`file` of the client's key for etcd")
	fs.StringVar(&c.Etcd.Cert, "etcd-cert", "", "`file` of the client's certificate for etcd")
	fs.StringVar(&c.Etcd.CA, "etcd-ca", "", "`file` of the certificates that etcd's must be signed by; default those of the system")
	fs.StringVar(&c.WebConfig, "web-config", "", "`file` with TLS and basic auth, as the exporters of Prometheus take it, read again when it changes; plain HTTP to everybody without it")
	fs.BoolVar(&f.showVersion, "version", false, "print the version and stop")
}

func run(ctx context.Context, fs *flag.FlagSet, args []string, getenv func(string) string) error {
	cfg, f := server.Default, flags{}
	register(fs, &cfg, &f)
	if err := cli.Parse(fs, args, getenv); err != nil {
		return err
	}
	cfg.Version = cli.Version(version)
	if f.showVersion {
		fmt.Println("netchecker-server", cfg.Version)
		return nil
	}
	cfg.Log = f.logging.Logger(os.Stderr)
	if err := f.fill(&cfg, getenv); err != nil {
		return &cli.UsageError{Err: err}
	}
	return server.Run(ctx, cfg)
}

// minHistory is the least history worth keeping: a snapshot of a large cluster fits.
const minHistory = 4 << 20

func (f *flags) fill(c *server.Config, getenv func(string) string) (err error) {
	if err := f.store(c); err != nil {
		return err
	}
	if err := cli.CheckEndpoint("-endpoint", c.Endpoint); err != nil {
		return err
	}
	if c.ReportTTL < time.Second {
		return fmt.Errorf("-report-ttl %v: want at least 1 s", c.ReportTTL)
	}
	if c.HistorySize != 0 && c.HistorySize < minHistory {
		return fmt.Errorf("-history-size %d: want 0 or at least %d", c.HistorySize, minHistory)
	}
	if c.HistoryAge < time.Minute {
		return fmt.Errorf("-history-age %v: want at least 1 m", c.HistoryAge)
	}
	if c.PairMetricsNodes < 0 || c.PairMetricsNodes > 5000 {
		return fmt.Errorf("-pair-metrics-nodes %d: want 0 to 5000", c.PairMetricsNodes)
	}
	if f.gossipPort > 0 {
		if _, err := cli.Port("-gossip-port", f.gossipPort); err != nil {
			return err
		}
	}
	c.GossipPort = uint16(f.gossipPort)
	c.Join = cli.SplitList(f.join)
	if c.Services, err = service.Parse(f.services); err != nil {
		return fmt.Errorf("-services: %w", err)
	}
	if err := f.trust(c, getenv); err != nil {
		return err
	}
	if err := f.names(c, getenv); err != nil {
		return err
	}
	if err := f.connectKube(c); err != nil {
		return err
	}
	addrs, err := cli.Addresses(f.advertise, getenv)
	if err != nil {
		return err
	}
	for _, addr := range addrs {
		if addr.Is4() {
			c.IPv4 = addr
		} else {
			c.IPv6 = addr
		}
	}
	if len(addrs) == 0 {
		if addr, _, err := evidence.DefaultAddress(false); err == nil {
			c.IPv4 = addr
		} else if addr, _, err := evidence.DefaultAddress(true); err == nil {
			c.IPv6 = addr
		}
	}
	return nil
}

// trust fills in how agents prove who they are.
func (f *flags) trust(c *server.Config, getenv func(string) string) error {
	auth, err := cli.Auth(f.auth, f.secretFile, false)
	if err != nil {
		return err
	}
	switch auth {
	case cli.Secret:
		c.Secret, err = cli.ReadSecret(f.secretFile)
	case cli.Kubernetes:
		if f.secretFile == "" {
			return errors.New("-auth kubernetes: want -secret-file too, with the master secret")
		}
		c.MasterFile = f.secretFile
		c.AgentAccounts, err = cli.Accounts(f.agentAccounts, getenv)
	}
	return err
}

func (f *flags) names(c *server.Config, getenv func(string) string) (err error) {
	c.Node, c.Pod = getenv("MY_NODE_NAME"), getenv("MY_POD_NAME")
	if c.Node == "" {
		if c.Node, err = os.Hostname(); err != nil {
			return fmt.Errorf("MY_NODE_NAME is not set and the host has no name: %w", err)
		}
	}
	if c.Pod == "" {
		c.Pod = "netchecker-server-" + c.Node
	}
	if err := mesh.CheckName("node name (MY_NODE_NAME)", c.Node); err != nil {
		return err
	}
	return mesh.CheckName("pod name (MY_POD_NAME)", c.Pod)
}
