package diagnose

import "time"

func bad() { <-time.After(time.Second) }
