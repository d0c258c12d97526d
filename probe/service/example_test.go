package service_test

import (
	"fmt"

	"netchecker/probe/service"
)

func ExampleParse() {
	targets, err := service.Parse("dns=dns://10.96.0.10/kubernetes.default.svc.cluster.local, db=tcp://db.example.org:5432")
	for _, t := range targets {
		fmt.Println(t)
	}
	fmt.Println(err)
	_, err = service.Parse("db=udp://db.example.org")
	fmt.Println(err)
	// Output:
	// dns-udp=dns-udp://10.96.0.10:53/kubernetes.default.svc.cluster.local
	// dns-tcp=dns-tcp://10.96.0.10:53/kubernetes.default.svc.cluster.local
	// db=tcp://db.example.org:5432
	// <nil>
	// service "db=udp://db.example.org": kind "udp": not known here: want NAME=KIND://ADDRESS with dns-udp://IP[:PORT]/QUERY, dns-tcp://IP[:PORT]/QUERY, dns://IP[:PORT]/QUERY for both, tcp://HOST:PORT, http://… or https://…
}
