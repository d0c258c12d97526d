package mesh

import "time"

func good(now time.Time) time.Duration { return now.Sub(time.Unix(0, 0)) }

func bad() time.Duration { return time.Since(time.Now()) }
