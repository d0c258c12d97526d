package api_test

import (
	"bytes"
	"container/heap"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"netchecker/api"
)

// crowd holds when agents come, the next one first.
type crowd []time.Time

func (c crowd) Len() int           { return len(c) }
func (c crowd) Less(i, j int) bool { return c[i].Before(c[j]) }
func (c crowd) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *crowd) Push(at any)       { *c = append(*c, at.(time.Time)) }
func (c *crowd) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// TestACrowdEnrolsAsFastAsItIsServed: 10,000 agents start within ten seconds and come again when they
// are told.
func TestACrowdEnrolsAsFastAsItIsServed(t *testing.T) {
	const agents = 10_000
	queue, random := api.NewEnrolQueue(), rand.New(rand.NewPCG(1, 2))
	upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
	due := &crowd{}
	for range agents {
		heap.Push(due, epoch.Add(upTo(10*time.Second)))
	}
	tries, last := 0, epoch
	for ; due.Len() > 0; tries++ {
		last = heap.Pop(due).(time.Time)
		if after := queue.Take(last); after > 0 { // Retry-After has whole seconds, the client adds up to one
			heap.Push(due, last.Add((after + time.Second - 1).Truncate(time.Second)).Add(upTo(time.Second)))
		}
	}
	t.Logf("the last after %v, %.2f tries each", last.Sub(epoch).Round(time.Second), float64(tries)/agents)
	if last.Sub(epoch) > 5*time.Minute || tries > 4*agents {
		t.Errorf("the last one enrolled after %v, all took %d tries", last.Sub(epoch), tries)
	}
	if n := queue.CountWaiting(last.Add(5 * time.Minute)); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

// blocked is a Kubernetes that answers when it is let.
type blocked struct {
	*reviewer
	asked chan struct{}
	let   chan struct{}
}

func (b blocked) Review(ctx context.Context, token, audience string) (api.TokenHolder, error) {
	b.asked <- struct{}{}
	select {
	case <-b.let:
	case <-ctx.Done():
		return api.TokenHolder{}, ctx.Err()
	}
	return b.reviewer.Review(ctx, token, audience)
}

// TestAClaimThatComesBothWaysIsOne: an agent whose server is slow sends it through a peer too. The
// second one was refused for its ticket, and won against the grant to come.
func TestAClaimThatComesBothWaysIsOne(t *testing.T) {
	c := newCluster(t, 1)
	a := c.agents[0]
	r := blocked{newReviewer(a), make(chan struct{}, 2), make(chan struct{})}
	f := serveKubernetes(t, r, nil, master)
	request, open := claim(f, a.Name, claimOf(a))
	var both sync.WaitGroup
	var answers [2]*api.EnrolAnswer
	for i := range answers {
		both.Go(func() {
			status, text, answer := askEnrol(f, ringKeys, a.Name, request)
			if status != 200 {
				t.Errorf("way %d: %d %s", i+1, status, text)
			}
			answers[i] = answer
		})
	}
	<-r.asked
	if n := f.server.Enrolments().Waiting; n != 1 {
		t.Errorf("%d wait, want 1", n)
	}
	close(r.let)
	both.Wait()
	for i, answer := range answers {
		if _, err := open(answer); err != nil {
			t.Errorf("way %d: %v", i+1, err)
		}
	}
	if e := f.server.Enrolments(); r.askedNow() != 1 || e.Granted != 1 || e.Waiting != 0 || strings.Contains(f.log.String(), "level=WARN") {
		t.Errorf("Kubernetes was asked %d times, counted %+v, said %s", r.askedNow(), e, f.log.String())
	}
}

// TestTheWayThatBreaksOffTakesNoGrantWithIt: the direct connection dies while Kubernetes is asked.
func TestTheWayThatBreaksOffTakesNoGrantWithIt(t *testing.T) {
	c := newCluster(t, 1)
	a := c.agents[0]
	r := blocked{newReviewer(a), make(chan struct{}, 2), make(chan struct{})}
	f := serveKubernetes(t, r, nil, master)
	request, open := claim(f, a.Name, claimOf(a))
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	ctx, hangUp := context.WithCancel(t.Context())
	direct, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url+"/api/v1/agents/"+a.Name+"/enrol", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	direct.Header.Set(api.SignatureHeader, ringKeys.Sign(api.ForEnrol, a.Name, 1, 0, body).String())
	go func() {
		<-r.asked
		hangUp()
	}()
	if resp, err := http.DefaultClient.Do(direct); err == nil {
		resp.Body.Close()
		t.Fatal("it got an answer")
	}
	close(r.let)
	status, text, answer := askEnrol(f, ringKeys, a.Name, request)
	if status != 200 {
		t.Fatalf("through the peer: %d %s", status, text)
	}
	if _, err := open(answer); err != nil || r.askedNow() != 1 {
		t.Errorf("%v, Kubernetes was asked %d times", err, r.askedNow())
	}
}

// TestBothWaysOfARefusedClaimAreRefusedAlike, and it is counted and said once.
func TestBothWaysOfARefusedClaimAreRefusedAlike(t *testing.T) {
	c := newCluster(t, 1)
	a := c.agents[0]
	f := serveKubernetes(t, newReviewer(), nil, master)
	request, _ := claim(f, a.Name, claimOf(a))
	for range 2 {
		status, text, _ := askEnrol(f, ringKeys, a.Name, request)
		wantError(t, status, text, 403, "token refused")
	}
	if e := f.server.Enrolments(); e.Refused[api.EnrolToken] != 1 || strings.Count(f.log.String(), "not enrolled") != 1 {
		t.Errorf("counted %+v, said %s", e, f.log.String())
	}
}
