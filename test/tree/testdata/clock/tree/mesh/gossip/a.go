package gossip

import "time"

func good() time.Time { return time.Now() }
