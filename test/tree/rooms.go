package tree

import (
	"go/ast"
	"slices"
)

// starters are the places whose go statements have somebody who waits for them. The engine and
// the responder own one loop for each of their sockets; wrapped libraries want their callbacks
// served.
var starters = []string{"cmd/", "test/", "probe/engine*", "probe/transport*", "probe/tcp*", "probe/echo/", "mesh/gossip/", "mesh/kube/", "api/store/"}

func goroutines(t *Tree) (bad []Violation) {
	for _, f := range t.Go {
		if f.Test || under(f.Path, starters) {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if s, ok := n.(*ast.GoStmt); ok {
				bad = append(bad, f.at(s.Pos(), "a go statement here has nobody who waits for it"))
			}
			return true
		})
	}
	return bad
}

// processNames maps an import path to what of it only cmd may use; no names: all of it.
var processNames = map[string][]string{
	"os":                       {"Exit", "Getenv", "LookupEnv", "Environ", "Setenv", "ExpandEnv", "Args"},
	"log":                      {"Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln"},
	"syscall":                  {"Exit", "Getenv", "Kill"},
	"flag":                     nil,
	"os/signal":                nil,
	"github.com/spf13/pflag":   nil,
	"github.com/joho/godotenv": nil,
}

func process(t *Tree) (bad []Violation) {
	for _, f := range t.Go {
		if f.Test || under(f.Path, []string{"cmd/", "test/", "tools/"}) {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			e, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			pkg, name := f.picked(e)
			if names, watched := processNames[pkg]; watched && (names == nil || slices.Contains(names, name)) {
				bad = append(bad, f.at(e.Pos(), pkg+"."+name+" belongs to cmd"))
			}
			return true
		})
	}
	return bad
}

// timeless are the rooms and files that get the time as an argument, so that tests and replays
// can choose it.
var timeless = []string{"mesh/diagnose/", "api/metrics/", "probe/window*", "probe/schedule*", "probe/heard*", "probe/packet*", "probe/keys*"}

// clockNames are the functions of package time that read the clock or wait for it.
var clockNames = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

func clock(t *Tree) (bad []Violation) {
	for _, f := range t.Go {
		if f.Test || f.Dir != "mesh" && !under(f.Path, timeless) {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if e, ok := n.(*ast.SelectorExpr); ok {
				if pkg, name := f.picked(e); pkg == "time" && slices.Contains(clockNames, name) {
					bad = append(bad, f.at(e.Pos(), "time."+name+" reads a clock"))
				}
			}
			return true
		})
	}
	return bad
}

func noInit(t *Tree) (bad []Violation) {
	for _, f := range t.Go {
		for _, d := range f.AST.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && !f.Test && fn.Recv == nil && fn.Name.Name == "init" {
				bad = append(bad, f.at(fn.Pos(), "an init function runs unasked"))
			}
		}
	}
	return bad
}
