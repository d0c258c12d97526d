package diagnose

import (
	_ "net" // bad: pure
	_ "net/netip"
)
