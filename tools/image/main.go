// Command image packs one static binary into a container image from scratch and writes it as an
// OCI archive, without Docker and without root: one image for each platform and an index over
// them. The same binaries give the same bytes, wherever and whenever it runs.
//
//	go run ./image -name netchecker-agent:v2.0.0 -out agent.tar linux/amd64=bin/amd64/netchecker-agent …
//
// The archive is what `ctr images import`, `docker load`, `podman load` and `skopeo copy
// oci-archive:` read.
package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Getenv); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(args []string, getenv func(string) string) error {
	fs := flag.NewFlagSet("image", flag.ContinueOnError)
	name := fs.String("name", "", "`name:tag` of the image")
	version := fs.String("version", "", "version for the labels")
	out := fs.String("out", "", "`file` to write")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *out == "" {
		return fmt.Errorf("-out: want a file to write")
	}
	created, err := epoch(getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	spec, err := newSpec(*name, *version, created, fs.Args())
	if err != nil {
		return err
	}
	index, size, err := build(spec)
	if err != nil {
		return err
	}
	if err := write(*out, index); err != nil {
		return fmt.Errorf("write %q: %w", *out, err)
	}
	for i, b := range spec.binaries {
		fmt.Printf("%s %s: %.1f MiB compressed\n", spec.name, b.platform, float64(size[i])/(1<<20))
	}
	return nil
}

// epoch is the time that the image says it was made at: SOURCE_DATE_EPOCH, else 1970, since a
// clock would make every image another one.
func epoch(text string) (time.Time, error) {
	if text == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q: want seconds since 1970", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
