package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"netchecker/api"
	"netchecker/mesh"
	"netchecker/mesh/diagnose"
	"netchecker/mesh/kube"
)

// kubernetes is what the server makes of Kubernetes. Without one its cluster is nil and it knows nothing.
type kubernetes struct {
	cluster *kube.Cluster
	events  *kube.Recorder
	store   api.Store
	// moved receives a token when expect may answer otherwise.
	moved chan struct{}
	nodes atomic.Pointer[map[string]diagnose.NodeFacts]
	zones atomic.Pointer[map[string]string]
	// leaving says since when agents' pods are terminating, or were when last seen.
	leaving atomic.Pointer[map[string]time.Time]
	// last holds, by key, who was in the roster; followRoster alone touches it.
	last map[mesh.Key]mesh.Member
	// served says that agents have been told services; tell alone touches it.
	served bool

	mu      sync.Mutex // guards what Expected derives from the pods
	from    []kube.Pod
	list    []api.ExpectedPod
	at, due time.Time
}

// useKube lets Kubernetes answer what the configuration leaves open.
func (s *Server) useKube() {
	s.kube = &kubernetes{moved: make(chan struct{}, 1), last: map[mesh.Key]mesh.Member{}}
	if s.cfg.Kube == nil {
		return
	}
	s.log.Info("follows Kubernetes", "api", s.cfg.Kube.Host(), "namespace", s.cfg.Kube.Namespace())
	s.kube.cluster, s.kube.events = s.cfg.Kube.Follow(s.log), s.cfg.Kube.Recorder(s.cfg.Pod, s.log)
	s.diagnosis.listeners = append(s.diagnosis.listeners, s.kube.record)
	if s.cfg.Reviewer == nil {
		s.cfg.Reviewer = Reviewer(s.cfg.Kube)
	}
}

// apply makes the face expect the agents that Kubernetes lists.
func (k *kubernetes) apply(c *api.Config) {
	k.store = c.Store
	if k.cluster != nil {
		c.Expected, c.PodsStale, c.PodAddrs = k, k.cluster.PodsStale, k.addrs
		c.Nodes, c.Leaving = k.facts, k.leavers
	}
}

// addrs are the addresses of an agent's pod. While the API server does not answer nobody knows: the
// pod may have got another one meanwhile.
func (k *kubernetes) addrs(name string) (out []netip.Addr) {
	pods, err := k.cluster.Pods()
	if err != nil || k.cluster.PodsStale(time.Now()) != nil {
		return nil
	}
	i, known := slices.BinarySearchFunc(pods, name, func(p kube.Pod, name string) int { return strings.Compare(p.Name, name) })
	if !known {
		return nil
	}
	for _, addr := range pods[i].Addrs {
		if addr.IsValid() {
			out = append(out, addr)
		}
	}
	return out
}

// Expected implements api.Expecter. The answer is made anew when the pods change or one becomes due.
func (k *kubernetes) Expected(now time.Time) ([]api.ExpectedPod, error) {
	pods, err := k.cluster.Pods()
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	same := k.list != nil && len(pods) == len(k.from) && (len(pods) == 0 || &pods[0] == &k.from[0])
	if same && !now.Before(k.at) && (k.due.IsZero() || !now.After(k.due)) {
		return k.list, nil
	}
	k.from, k.at, k.due = pods, now, time.Time{}
	k.list = make([]api.ExpectedPod, len(pods))
	for i := range pods {
		at := pods[i].DueAt()
		due := !at.IsZero() && now.After(at)
		k.list[i] = api.ExpectedPod{Name: pods[i].Name, Key: pods[i].Key, Due: due}
		if !due && !at.IsZero() && (k.due.IsZero() || at.Before(k.due)) {
			k.due = at
		}
	}
	return k.list, nil
}

const (
	// kubePause bounds how often news is taken: 300 nodes in a minute are not 300 rosters.
	kubePause = 250 * time.Millisecond
	// kubeLook is how often the roster is compared with the nodes when Kubernetes has no news.
	kubeLook = 10 * time.Second
)

// follow tells everybody what Kubernetes says, until ctx ends.
func (k *kubernetes) follow(ctx context.Context, s *Server, face *api.Server) error {
	if k.cluster == nil {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return k.cluster.Run(ctx) })
	g.Go(func() error { return k.events.Run(ctx) })
	g.Go(func() error {
		book := goneBook{seen: map[string]bool{}, gone: map[string]time.Time{}}
		look := time.NewTicker(kubeLook)
		defer look.Stop()
		for {
			k.tell(s, face, &book)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(kubePause):
			}
			select {
			case <-ctx.Done():
				return nil
			case <-k.cluster.Changed():
			case <-look.C:
			}
		}
	})
	return g.Wait()
}

func (k *kubernetes) tell(s *Server, face *api.Server, book *goneBook) {
	if list, all := k.services(s); all || k.served { // else agents would drop what is only not listed yet
		face.SetServices(list)
		k.served = true
	}
	nodes, current, err := k.cluster.Nodes()
	if err == nil {
		zones, facts := make(map[string]string, len(nodes)), make(map[string]diagnose.NodeFacts, len(nodes))
		for name, n := range nodes {
			facts[name] = diagnose.NodeFacts{Cordoned: n.Cordoned, NotReady: n.NotReady}
			if n.Zone != "" && mesh.CheckName("zone", n.Zone) == nil {
				zones[name] = n.Zone
			}
		}
		now := time.Now()
		gone, back, past := book.update(nodes, current, s.roster(), now)
		for name := range book.gone {
			facts[name] = diagnose.NodeFacts{Gone: true}
		}
		face.SetZones(zones)
		told := append(book.late(s.roster(), now), gone...)
		face.NodesGone(told...)
		face.NodeBack(slices.Concat(back, past)...) // of what is past agents that start are told no longer
		if len(gone)+len(back) > 0 {
			s.log.Info("nodes of Kubernetes", "gone", gone[:min(len(gone), 10)], "back", back[:min(len(back), 10)])
		}
		if s.gossip != nil {
			s.gossip.Gone(told)
			s.gossip.Back(back)
		}
		k.zones.Store(&zones)
		k.nodes.Store(&facts)
	}
	if pods, err := k.cluster.Pods(); err == nil {
		var before map[string]time.Time
		if leaving := k.leaving.Load(); leaving != nil {
			before = *leaving
		}
		leaving := leave(before, pods, s.roster(), time.Now())
		k.leaving.Store(&leaving)
	}
	select {
	case k.moved <- struct{}{}:
	default:
	}
}

// services are what Kubernetes tells after what the configuration names, which comes first and keeps its names.
// False says that Kubernetes has not told all of them yet.
func (k *kubernetes) services(s *Server) ([]api.ServiceTarget, bool) {
	out := serviceTargets(s.cfg.Services)
	var told []api.ServiceTarget
	known, all := k.cluster.Services()
	for _, t := range known {
		if !slices.ContainsFunc(out, func(o api.ServiceTarget) bool { return o.Name == t.Name }) {
			told = append(told, api.ServiceTarget{Name: t.Name, Kind: t.Kind, Address: t.Address, Query: t.Query})
		}
	}
	return append(out, reachable(told, s.tls)...), all
}

// facts is what diagnosis is told of the nodes; nil where nobody knows.
func (k *kubernetes) facts() map[string]diagnose.NodeFacts {
	if facts := k.nodes.Load(); facts != nil {
		return *facts
	}
	return nil
}

// leavers are the names of agents that were told to go lately; nil where nobody knows.
func (k *kubernetes) leavers() map[string]bool {
	leaving := k.leaving.Load()
	if leaving == nil {
		return nil
	}
	lately := map[string]bool{}
	for name, at := range *leaving {
		if time.Since(at) < leaveRemember {
			lately[name] = true
		}
	}
	return lately
}

// Reviewer has the API server say whose tokens are.
func Reviewer(access *kube.Access) api.Reviewer { return reviewer{access} }

// reviewer asks the API server about tokens.
type reviewer struct{ access *kube.Access }

// Review implements api.Reviewer.
func (r reviewer) Review(ctx context.Context, token, audience string) (api.TokenHolder, error) {
	id, err := r.access.Review(ctx, token, audience)
	if errors.Is(err, kube.ErrUnreachable) || errors.Is(err, kube.ErrReviewForbidden) {
		return api.TokenHolder{}, err
	}
	if err != nil {
		return api.TokenHolder{}, fmt.Errorf("%w: %w", api.ErrTokenRefused, err)
	}
	return api.TokenHolder{ServiceAccount: id.Namespace + "/" + id.ServiceAccount, Pod: id.Pod, UID: id.PodUID, Node: id.Node}, nil
}
