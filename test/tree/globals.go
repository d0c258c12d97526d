package tree

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// allowedGlobals are the variables that may change, with the reason.
var allowedGlobals = map[string]string{
	"cmd/*:version": "set by the linker",
}

// makers are the functions whose result never changes, so that it may stand in a variable.
var makers = []string{
	"errors.New", "fmt.Errorf", "fmt.Sprintf", "fmt.Sprint", "strings.Repeat", "strings.Join", "regexp.MustCompile", "html/template.Must", "text/template.Must", "strings.NewReplacer",
	"net/netip.MustParseAddr", "net/netip.MustParsePrefix", "net/netip.AddrFrom4", "net/netip.AddrFrom16",
	"encoding/binary.BigEndian", "sync.OnceValue", "sync.OnceValues", "sync.OnceFunc", "hash/crc32.MakeTable",
	"github.com/prometheus/client_golang/prometheus.NewDesc", "github.com/prometheus/client_golang/prometheus.BuildFQName",
}

// globals accepts a variable that is a literal or made by one of the makers and that nothing in
// its package assigns to. (Another package's assignment would need an exported table; there the
// documentation must do.)
func globals(t *Tree) (bad []Violation) {
	for _, files := range t.packages() {
		code := slices.DeleteFunc(slices.Clone(files), func(f *File) bool { return f.Test || under(f.Path, []string{"test/"}) })
		written := writesOf(code)
		for _, f := range code {
			for _, d := range f.AST.Decls {
				if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
					bad = append(bad, changing(f, g, written)...)
				}
			}
		}
	}
	return bad
}

func changing(f *File, g *ast.GenDecl, written writes) (bad []Violation) {
	embedded := strings.Contains(rawText(g.Doc), "//go:embed")
	for _, spec := range g.Specs {
		s := spec.(*ast.ValueSpec)
		for i, name := range s.Names {
			switch {
			case name.Name == "_" || globalAllowed(f.Path, name.Name):
			case written.has(name):
				bad = append(bad, f.at(name.Pos(), name.Name+" is assigned to after its declaration"))
			case embedded || strings.Contains(rawText(s.Doc), "//go:embed"):
			case i >= len(s.Values):
				bad = append(bad, f.at(name.Pos(), name.Name+" has no value, so something must change it"))
			case !constant(f, s.Values[i]):
				bad = append(bad, f.at(name.Pos(), name.Name+" holds something that can change"))
			}
		}
	}
	return bad
}

// rawText keeps directives, which Text drops.
func rawText(g *ast.CommentGroup) string {
	if g == nil {
		return ""
	}
	var text strings.Builder
	for _, c := range g.List {
		text.WriteString(c.Text + "\n")
	}
	return text.String()
}

func globalAllowed(file, name string) bool {
	for key := range allowedGlobals {
		places, allowed, _ := strings.Cut(key, ":")
		if allowed == name && under(file, []string{places}) {
			return true
		}
	}
	return false
}

// constant reports whether an expression makes a value without state of its own.
func constant(f *File, e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit, *ast.FuncLit, *ast.Ident, *ast.SelectorExpr:
		return true
	case *ast.UnaryExpr:
		return e.Op != token.AND && constant(f, e.X)
	case *ast.BinaryExpr:
		return constant(f, e.X) && constant(f, e.Y)
	case *ast.ParenExpr:
		return constant(f, e.X)
	case *ast.CompositeLit:
		pkg, name := f.picked(e.Type)
		return pkg != "sync" && pkg != "sync/atomic" || name == "Pool" // what a pool holds has no meaning
	case *ast.CallExpr:
		switch e.Fun.(type) {
		case *ast.ArrayType, *ast.FuncLit: // []byte("…"), and a table that a function on the spot fills
			return true
		}
		if id, ok := e.Fun.(*ast.Ident); ok { // a conversion to a type of the package, or a helper of its own
			return id.Name != "new" && id.Name != "make"
		}
		pkg, name := f.picked(e.Fun)
		return slices.Contains(makers, pkg+"."+name)
	}
	return false
}

// writes are the package-level names that something assigns to. The parser links a use to its
// declaration within one file; across files the name itself must do.
type writes struct {
	declared map[token.Pos]bool
	names    map[string]bool
}

func (w writes) has(id *ast.Ident) bool { return w.declared[id.Pos()] || w.names[id.Name] }

// note remembers the variable that an expression is a part of.
func (w writes) note(e ast.Expr) {
	for {
		switch x := e.(type) {
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.Ident:
			if x.Obj != nil {
				w.declared[x.Obj.Pos()] = true
			} else {
				w.names[x.Name] = true
			}
			return
		default:
			return
		}
	}
}

// writesOf finds what the files assign to, count up, delete from, clear or take the address of.
func writesOf(files []*File) writes {
	w := writes{map[token.Pos]bool{}, map[string]bool{}}
	for _, f := range files {
		ast.Inspect(f.AST, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, e := range n.Lhs {
						w.note(e)
					}
				}
			case *ast.IncDecStmt:
				w.note(n.X)
			case *ast.UnaryExpr:
				if id, ok := n.X.(*ast.Ident); ok && n.Op == token.AND {
					w.note(id)
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear") && len(n.Args) > 0 {
					w.note(n.Args[0])
				}
			}
			return true
		})
	}
	return w
}
