package tree

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Module is the import path of the tree's root.
const Module = "netchecker"

// Tree is a source tree, parsed.
type Tree struct {
	// Go holds all Go files in order of their paths.
	Go []*File
	// Text maps the path of every file that is text, Go or not, to its content.
	Text map[string]string

	fset *token.FileSet
}

// File is one Go file.
type File struct {
	Path string // relative to the root, with slashes
	Dir  string // of Path; "." for the root
	Test bool   // a _test.go file
	AST  *ast.File

	tree    *Tree
	imports map[string]string // name in this file → import path
}

// Violation is a line that breaks a rule.
type Violation struct {
	Path string
	Line int // 0: the file as a whole
	Text string
}

// String returns "path:line: text", the form that editors jump to.
func (v Violation) String() string {
	if v.Line == 0 {
		return v.Path + ": " + v.Text
	}
	return v.Path + ":" + strconv.Itoa(v.Line) + ": " + v.Text
}

// Load parses the tree under root. Directories named testdata and those that begin with a dot are
// left out (but .ci, which is ours), as is what make makes.
func Load(root string) (*Tree, error) {
	t := &Tree{Text: map[string]string{}, fset: token.NewFileSet()}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if skipped(rel) {
				return filepath.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || rel == ".git" { // a work tree of git has a file of that name
			return nil
		}
		return t.add(rel, name)
	})
	slices.SortFunc(t.Go, func(a, b *File) int { return strings.Compare(a.Path, b.Path) })
	return t, err
}

func skipped(rel string) bool {
	base := path.Base(rel)
	return rel == "bin" || base == "testdata" || base != "." && base != ".ci" && strings.HasPrefix(base, ".")
}

func (t *Tree) add(rel, name string) error {
	content, err := os.ReadFile(name)
	if err != nil {
		if os.IsNotExist(err) { // an editor's temporary file
			return nil
		}
		return err
	}
	if strings.ContainsRune(string(content[:min(len(content), 8000)]), 0) {
		return nil
	}
	t.Text[rel] = string(content)
	if !strings.HasSuffix(rel, ".go") {
		return nil
	}
	parsed, err := parser.ParseFile(t.fset, rel, content, parser.ParseComments)
	if err != nil {
		return err
	}
	f := &File{Path: rel, Dir: path.Dir(rel), Test: strings.HasSuffix(rel, "_test.go"), AST: parsed,
		tree: t, imports: map[string]string{}}
	for _, spec := range parsed.Imports {
		target, _ := strconv.Unquote(spec.Path.Value)
		local := guessName(target)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		f.imports[local] = target
	}
	t.Go = append(t.Go, f)
	return nil
}

// guessName returns the name under which an import path is most likely known without an alias.
func guessName(target string) string {
	base := path.Base(target)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		base = path.Base(path.Dir(target)) // a major version
	}
	return strings.TrimPrefix(base, "go-")
}

// line returns the line of a position.
func (f *File) line(p token.Pos) int { return f.tree.fset.Position(p).Line }

// at makes a violation of the line at p.
func (f *File) at(p token.Pos, text string) Violation {
	return Violation{Path: f.Path, Line: f.line(p), Text: text}
}

// generated reports whether the file says that a program wrote it.
func (f *File) generated() bool { return ast.IsGenerated(f.AST) }

// picked returns the import path and the name of what a selector picks from a package, or "" when
// it picks from anything else.
func (f *File) picked(e ast.Expr) (pkg, name string) {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok || id.Obj != nil {
		return "", ""
	}
	return f.imports[id.Name], sel.Sel.Name
}

// under reports whether a path lies in one of the places: a directory named with a final slash,
// a single file, or a prefix ending in "*".
func under(name string, places []string) bool {
	return slices.ContainsFunc(places, func(place string) bool {
		if prefix, ok := strings.CutSuffix(place, "*"); ok {
			return strings.HasPrefix(name, prefix)
		}
		return name == place || strings.HasSuffix(place, "/") && strings.HasPrefix(name, place)
	})
}

// packages groups the Go files by directory: an external test package belongs to what it tests.
func (t *Tree) packages() map[string][]*File {
	out := map[string][]*File{}
	for _, f := range t.Go {
		out[f.Dir] = append(out[f.Dir], f)
	}
	return out
}
