package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Fault is something that breaks in a cluster network. It is injected by its real mechanism: the
// rule, route, link or process that is wrong in the field is wrong in the lab.
type Fault struct {
	Name  string
	Args  string // what Inject wants, e.g. "node" or "node node"; in brackets what it may get
	About string // what breaks, in one line

	inject func(b *breaker, args []int)
}

// Faults returns all faults by name.
func Faults() []Fault {
	all := slices.Concat(fabricFaults, nodeFaults, mtuFaults, overlayFaults, serviceFaults, addressFaults, otherFaults)
	slices.SortFunc(all, func(a, b Fault) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// overlayOnly are the faults that need Mode VXLAN.
var overlayOnly = []string{
	"neigh-missing", "vtep-mac", "dup-podcidr", "dup-podcidr-sameip", "fdb-missing", "fw-8472-all", "fw-8472-in", "mtu-flannel-low", "mtu-pmtud-blackhole",
	"mtu-pods-1500", "nm-flannel-bounced", "nm-flannel-down", "rp-filter-asym", "vtep-wrong-ip", "vxlan-gone", "vxlan-port-mismatch",
}

// FindFault returns the fault of that name.
func FindFault(name string) (Fault, error) {
	for _, f := range Faults() {
		if f.Name == name {
			return f, nil
		}
	}
	return Fault{}, fmt.Errorf("no fault %q: go run ./test/lab/cmd/lab -faults lists those there are", name)
}

// Inject breaks the network by name; see Fault.Inject.
func (l *Lab) Inject(ctx context.Context, name string, args ...int) (heal func() error, err error) {
	f, err := FindFault(name)
	if err != nil {
		return nil, err
	}
	return f.Inject(ctx, l, args...)
}

// Inject breaks the network and returns what repairs it. Faults that are in force together must be
// healed in reverse order. When Inject fails, what it did is undone. Heal may be called twice, and
// after Close.
func (f Fault) Inject(ctx context.Context, l *Lab, args ...int) (heal func() error, err error) {
	if err := f.checkArgs(l, args); err != nil {
		return nil, fmt.Errorf("fault %s: %w", f.Name, err)
	}
	if err := l.begin(); err != nil {
		return nil, fmt.Errorf("fault %s: %w", f.Name, err)
	}
	defer l.work.Done()
	b := &breaker{ctx: ctx, lab: l, name: f.Name}
	f.inject(b, args)
	heal = sync.OnceValue(b.heal)
	if b.err != nil {
		return nil, errors.Join(fmt.Errorf("fault %s: %w", f.Name, b.err), heal())
	}
	return heal, nil
}

func (f Fault) checkArgs(l *Lab, args []int) error {
	if slices.Contains(overlayOnly, f.Name) && l.cfg.Mode != VXLAN {
		return fmt.Errorf("mode %s has no overlay", l.cfg.Mode)
	}
	required, optional, _ := strings.Cut(f.Args, "[")
	words := strings.Fields(required)
	least := len(words)
	if optional != "" {
		words = append(words, strings.TrimSuffix(optional, "]"))
	}
	if len(args) < least || len(args) > len(words) {
		return fmt.Errorf("%d arguments, want %q", len(args), f.Args)
	}
	seen := map[int]bool{}
	for i, a := range args {
		if words[i] != "node" {
			continue
		}
		if a < 1 || a > l.cfg.Nodes || seen[a] {
			return fmt.Errorf("node %d: want different ones, 1 to %d", a, l.cfg.Nodes)
		}
		seen[a] = true
	}
	return nil
}

// breaker carries out one injection. After the first error its steps do nothing.
type breaker struct {
	ctx  context.Context
	lab  *Lab
	name string
	err  error
	undo []func() error
}

func (b *breaker) heal() error {
	if b.lab.begin() != nil {
		return nil // closed: nothing is left to heal
	}
	defer b.lab.work.Done()
	var errs []error
	for _, undo := range slices.Backward(b.undo) {
		errs = append(errs, undo())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("heal %s: %w", b.name, err)
	}
	return nil
}

// step does one thing and remembers its opposite, which runs even if the step fails half way.
func (b *breaker) step(do, undo func() error) {
	if b.err == nil {
		b.err = b.ctx.Err()
	}
	if b.err != nil {
		return
	}
	if undo != nil {
		b.undo = append(b.undo, undo)
	}
	if do != nil {
		b.err = do()
	}
}

// sh runs a shell line in a namespace, and another one to heal; an empty one is none.
func (b *breaker) sh(ns, do, undo string) {
	var opposite func() error
	if undo != "" {
		opposite = func() error { return b.lab.shell(ns, undo) }
	}
	b.step(func() error { return b.lab.shell(ns, do) }, opposite)
}

func (l *Lab) shell(ns, line string) error {
	_, err := l.Run(ns, "sh", "-ec", line)
	return err
}

// node is sh in node k: $K and $IP stand for its number and its address.
func (b *breaker) node(k int, do, undo string) {
	r := strings.NewReplacer("$K", fmt.Sprint(k), "$IP", nodeAddr(k).String())
	b.sh(NodeName(k), r.Replace(do), r.Replace(undo))
}

// rule inserts an iptables rule ("INPUT -p tcp ...") at the head of a chain of node k.
func (b *breaker) rule(k int, spec string) {
	b.sh(NodeName(k), "iptables -w -I "+spec,
		fmt.Sprintf("if iptables -w -C %s 2>/dev/null; then iptables -w -D %s; fi", spec, spec))
}

// keepRules restores the iptables rules of node k on heal to what they are now.
func (b *breaker) keepRules(k int) {
	b.step(nil, nil)
	if b.err != nil {
		return
	}
	rules, err := b.lab.Run(NodeName(k), "iptables-save")
	b.step(func() error { return err }, func() error {
		_, err := b.lab.runInput(NodeName(k), rules, "iptables-restore", "-w")
		return err
	})
}

// fabricFilter drops frames that the switches forward. The rules are those of one nft chain.
func (b *breaker) fabricFilter(rules ...string) {
	table := fmt.Sprintf("fault%d", faultCount.Add(1))
	script := fmt.Sprintf("table bridge %s {\n chain forward {\n  type filter hook forward priority 0; policy accept;\n  %s\n }\n}\n",
		table, strings.Join(rules, "\n  "))
	b.nft("fabric", script, "bridge "+table)
}

// nft loads a script and deletes its table on heal.
func (b *breaker) nft(ns, script, table string) {
	b.step(func() error {
		_, err := b.lab.runInput(ns, script, "nft", "-f", "-")
		return err
	}, func() error {
		// "add" first, so that it can be deleted even if loading failed.
		_, err := b.lab.runInput(ns, "add table "+table+"\ndelete table "+table+"\n", "nft", "-f", "-")
		return err
	})
}

// forgetMTUs makes every namespace forget, on heal, the path MTUs it has learned.
func (b *breaker) forgetMTUs() {
	b.step(nil, func() error {
		b.lab.mu.Lock()
		spaces := make([]*space, 0, len(b.lab.spaces))
		for _, s := range b.lab.spaces {
			spaces = append(spaces, s)
		}
		b.lab.mu.Unlock()
		var errs []error
		for _, s := range spaces {
			errs = append(errs, s.sysctls(map[string]string{"ipv4/route/flush": "1", "ipv6/route/flush": "1"}))
		}
		return errors.Join(errs...)
	})
}
