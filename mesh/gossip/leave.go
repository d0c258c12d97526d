package gossip

import (
	"context"
	"fmt"
	"time"
)

const (
	farewellSent   = 3 * time.Second // for our own packets with the farewell
	farewellSpread = time.Second     // for the others to pass it on
)

// Leave says good-bye, so that everybody knows us as left and not as dead, and waits until the
// news is out: 2 s in a small mesh, 4 s in a large one, less when ctx ends sooner. The sockets stay
// open: Close them after the lame duck's time. After Leave we never come back; start anew for that.
//
// Memberlist knows left from dead but does not tell: it calls NotifyLeave for both with a node
// whose state it never sets. So the farewell goes ahead as a flag in our meta, and twice: among few
// members news is sent so few times that one in 500 would miss it and expect us for 24 h more.
// Memberlist's own message follows later, since it takes the place of the flag in the queues.
func (g *Gossip) Leave(ctx context.Context) error {
	g.selfMu.Lock()
	first := !g.leaving
	g.leaving = true
	g.selfMu.Unlock()
	if !first {
		return nil
	}
	g.cancelJoins()
	for range 2 {
		if err := g.advertise(left(ctx, farewellSent)); err != nil {
			return err
		}
	}
	if len(g.contacts.Load().alive) > 0 {
		wait := time.NewTimer(farewellSpread)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
		}
	}
	g.listMu.Lock()
	defer g.listMu.Unlock()
	if g.closed {
		return errClosed
	}
	if err := g.list.Leave(left(ctx, farewellSent)); err != nil {
		return fmt.Errorf("gossip: leave: %w", err)
	}
	return nil
}

// left is what remains of ctx, at most most and never 0, which would mean for ever.
func left(ctx context.Context, most time.Duration) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(end))
	}
	if ctx.Err() != nil {
		most = 0
	}
	return max(most, time.Nanosecond)
}

// Close shuts the sockets and returns when every goroutine that gossip started has ended.
// Memberlist's own end within 20 s more: a ping that is under way waits for its answer. Without
// Leave before, the others find us dead. Closing twice is harmless.
func (g *Gossip) Close() error {
	g.listMu.Lock()
	if g.closed {
		g.listMu.Unlock()
		g.work.Wait()
		return nil
	}
	g.closed = true
	g.cancel()
	err := g.list.Shutdown()
	g.listMu.Unlock()
	g.work.Wait()
	if err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	return nil
}
