package probe_test

import (
	"fmt"
	"net/netip"
	"time"

	"netchecker/probe"
	"netchecker/probe/echo"
	"netchecker/probe/echo/echotest"
)

// How often 10,000 targets are probed with the default budget.
func ExamplePlan() {
	periods := probe.Plan(10_000, probe.DefaultRate, [probe.Kinds]bool{})
	for _, k := range probe.AllKinds() {
		fmt.Println(k, periods[k].Round(time.Second))
	}
	// Output:
	// udp 42s
	// mtu 3m8s
	// tcp 3m8s
	// icmp 3m8s
}

// An engine and a responder on a network in memory, in time that the caller keeps.
func ExampleEngine() {
	clock := echotest.NewClock()
	network := echotest.New(clock.Now)
	peer := netip.MustParseAddrPort("10.0.0.2:8095")
	network.Attach(peer, echo.NewResponder(echo.Config{Self: 2, Boot: 1, Clock: clock.Now}))
	engine, err := probe.NewEngine(probe.Config{Self: 1, Boot: 1, Clock: clock.Now, Transport: network.Port(netip.MustParseAddr("10.0.0.1"))})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer engine.Close()
	engine.SetTargets([]probe.Target{{ID: 2, Addr: peer, Bytes: 1500}})
	for range 40 { // two seconds
		clock.Advance(probe.Tick)
		engine.Step()
	}
	for k, s := range engine.Snapshot(nil)[0].Probes {
		fmt.Println(probe.Kind(k), s.State, s.RTT)
	}
	// Output:
	// udp ok 200µs
	// mtu ok 200µs
	// tcp ok 200µs
	// icmp ok 200µs
}
