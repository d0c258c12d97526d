package lab_test

import (
	"context"
	"fmt"

	"netchecker/test/lab"
)

// A program runs in every pod, a firewall rule cuts node 3 off the overlay, and is removed again.
func Example() {
	ctx := context.Background()
	l, err := lab.Start(ctx, lab.Config{Nodes: 5, Zones: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	for i := 1; i <= l.Nodes(); i++ {
		if err := l.Command(l.Pod(i).Namespace, "sleep", "60").Start(); err != nil {
			fmt.Println(err)
		}
	}
	heal, err := l.Inject(ctx, "fw-8472-in", 3)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer heal()
}
