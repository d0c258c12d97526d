package agent

import (
	"context"
	"time"

	"netchecker/probe/evidence"
)

// mtuEvery is how often the MTU of the agent's own interface is looked at.
const mtuEvery = 3 * time.Second

// followMTU tells the mesh when the MTU of the agent's interface changes: what most agents state is
// what a path is expected to carry, and pods that were given a larger MTU than their tunnel has are
// a fault that only probes of the new size show. An MTU that cannot be read stays as it was.
func (a *Agent) followMTU(ctx context.Context) error {
	if a.cfg.MTU == 0 { // stated by nobody: sizes are not probed
		return nil
	}
	for tick := time.NewTicker(mtuEvery); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return nil
		case <-tick.C:
		}
		self := a.gossip.Self()
		mtu, err := evidence.MTUOf(self.Primary())
		if err != nil || mtu <= 0 || mtu >= 1<<16 || uint16(mtu) == self.MTU {
			continue
		}
		was := self.MTU
		self.MTU = uint16(mtu)
		if err := a.gossip.UpdateSelf(self); err != nil {
			a.log.Warn("MTU not told", "mtu", mtu, "error", err)
			continue
		}
		a.log.Info("MTU changed", "was", was, "is", mtu)
	}
}
