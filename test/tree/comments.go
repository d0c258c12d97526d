package tree

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

func packageDoc(t *Tree) (bad []Violation) {
	for dir, files := range t.packages() {
		code := slices.DeleteFunc(slices.Clone(files), func(f *File) bool { return f.Test })
		if len(code) == 0 {
			code = files // a package of tests alone says what it tests
		}
		var documented []*File
		for _, f := range code {
			if f.AST.Doc != nil && strings.TrimSpace(f.AST.Doc.Text()) != "" {
				documented = append(documented, f)
			}
		}
		if len(documented) == 0 {
			bad = append(bad, Violation{Path: dir, Text: "no package comment"})
		}
		for _, f := range documented[min(1, len(documented)):] {
			bad = append(bad, f.at(f.AST.Package, "a second package comment, the first is in "+documented[0].Path))
		}
	}
	return bad
}

// plainMethods do what their interface says, and a comment would only repeat it.
var plainMethods = []string{"Error", "Unwrap", "Len", "Less", "Swap"}

func documented(t *Tree) (bad []Violation) {
	for _, f := range t.Go {
		if f.Test || f.generated() {
			continue
		}
		for _, d := range f.AST.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) && !slices.Contains(plainMethods, d.Name.Name) {
					bad = append(bad, f.at(d.Pos(), d.Name.Name+" is exported and has no comment"))
				}
			case *ast.GenDecl:
				bad = append(bad, undocumented(f, d)...)
			}
		}
	}
	return bad
}

// undocumented finds the exported names of a declaration that have no comment: neither on their
// own line, nor above it, nor above their group.
func undocumented(f *File, d *ast.GenDecl) (bad []Violation) {
	if d.Tok == token.IMPORT || d.Doc != nil {
		return nil
	}
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && s.Doc == nil && s.Comment == nil {
				bad = append(bad, f.at(s.Pos(), s.Name.Name+" is exported and has no comment"))
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() && s.Doc == nil && s.Comment == nil {
					bad = append(bad, f.at(name.Pos(), name.Name+" is exported and has no comment"))
				}
			}
		}
	}
	return bad
}

// exportedReceiver reports whether a function is no method, or one of an exported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

// The hard limits in lines. Half of either is a good size.
const (
	maxFile = 400
	maxFunc = 80
)

func size(t *Tree) (bad []Violation) {
	for _, f := range t.Go {
		if f.Test || f.generated() {
			continue
		}
		if n := strings.Count(t.Text[f.Path], "\n"); n > maxFile {
			bad = append(bad, Violation{Path: f.Path, Text: fmt.Sprintf("%d lines, the limit is %d", n, maxFile)})
		}
		for _, d := range f.AST.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := f.line(fn.End()) - f.line(fn.Pos()) + 1; n > maxFunc {
				bad = append(bad, f.at(fn.Pos(), fmt.Sprintf("%s has %d lines, the limit is %d", fn.Name.Name, n, maxFunc)))
			}
		}
	}
	return bad
}
