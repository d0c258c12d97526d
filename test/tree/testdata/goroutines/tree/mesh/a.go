package mesh

import "sync"

func bad() { go good() }

func good() {
	var g sync.WaitGroup
	g.Go(func() {})
}
