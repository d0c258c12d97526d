package tree

import (
	"slices"
	"strconv"
	"strings"
)

// mayImport lists, for a room and for its sub-rooms ("room/"), the rooms of ours that it may
// import besides itself. A sub-room may import its own sub-rooms. cmd, test and tools are free;
// tools is a module of its own, so that what builds the product is no part of it.
var mayImport = map[string][]string{
	"probe":  {},
	"probe/": {"probe"},
	"mesh":   {"probe"},
	"mesh/":  {"mesh", "probe"},
	"api":    {"mesh", "mesh/diagnose", "probe"},
	"api/":   {"api", "mesh", "mesh/diagnose", "probe"},
}

func direction(t *Tree) (bad []Violation) {
	for _, f := range t.Go {
		room, sub := roomOf(f.Dir)
		if f.Test || room == "cmd" || room == "test" || room == "tools" {
			continue
		}
		key, self := room, room
		if sub != "" {
			key, self = room+"/", room+"/"+sub
		}
		allowed, known := mayImport[key]
		if !known {
			bad = append(bad, f.at(f.AST.Package, "no such room: "+f.Dir))
			continue
		}
		for _, spec := range f.AST.Imports {
			target, _ := strconv.Unquote(spec.Path.Value)
			target, ours := strings.CutPrefix(target, Module+"/")
			if !ours || slices.Contains(allowed, target) || sub != "" && (target == self || strings.HasPrefix(target, self+"/")) {
				continue
			}
			bad = append(bad, f.at(spec.Pos(), self+" must not import "+target))
		}
	}
	return bad
}

// roomOf splits a directory into its room and sub-room.
func roomOf(dir string) (room, sub string) {
	room, rest, _ := strings.Cut(dir, "/")
	sub, _, _ = strings.Cut(rest, "/")
	return room, sub
}

// owner says which places may import a library, named by a prefix of its import path.
type owner struct {
	prefix string
	places []string
}

var libraryOwners = []owner{
	{"github.com/hashicorp/memberlist", []string{"mesh/gossip/"}},
	{"k8s.io/", []string{"mesh/kube/", "api/store/"}},
	{"sigs.k8s.io/", []string{"mesh/kube/", "api/store/"}},
	{"github.com/prometheus/client_golang", []string{"api/metrics/"}},
	{"github.com/prometheus/exporter-toolkit", []string{"cmd/server/"}},
	{"crypto/hpke", []string{"api/"}},
	{"github.com/labstack/echo/v4", []string{"api/"}},
	{"go.etcd.io/", []string{"api/store/"}},
	{"google.golang.org/grpc", []string{"api/store/"}},
	{"go.uber.org/zap", []string{"api/store/"}},
	{"github.com/vishvananda/netlink", []string{"probe/evidence/"}},
	{"github.com/gorilla/websocket", []string{"mesh/kube/forward/"}},
	{"os/exec", []string{"cmd/"}},
	{"unsafe", []string{"probe/", "probe/evidence/"}},
}

// wiring may import whatever it wires.
var wiring = []string{"cmd/agent/", "cmd/server/", "test/"}

// pure rooms do no I/O at all.
var pure = []string{"mesh/diagnose/"}

// impure lists what the pure rooms, and mesh itself, must not import.
var impure = []string{"net", "net/http", "os", "os/exec", "os/signal", "syscall", "log", "log/slog", "golang.org/x/sys/unix"}

func owners(t *Tree) (bad []Violation) {
	for _, f := range t.Go {
		if f.Test || under(f.Path, wiring) {
			continue
		}
		for _, spec := range f.AST.Imports {
			target, _ := strconv.Unquote(spec.Path.Value)
			for _, o := range libraryOwners {
				if hasPath(target, o.prefix) && !under(f.Path, o.places) {
					bad = append(bad, f.at(spec.Pos(), target+" belongs to "+strings.Join(o.places, ", ")))
				}
			}
			if (f.Dir == "mesh" || under(f.Path, pure)) && slices.Contains(impure, target) {
				bad = append(bad, f.at(spec.Pos(), f.Dir+" is pure and must not import "+target))
			}
		}
	}
	return bad
}

// hasPath reports whether target is prefix or lies below it.
func hasPath(target, prefix string) bool {
	return target == prefix || strings.HasPrefix(target, strings.TrimSuffix(prefix, "/")+"/")
}
