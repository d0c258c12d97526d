package gossip

import (
	_ "github.com/hashicorp/memberlist"
	_ "k8s.io/client-go/kubernetes" // bad
)
