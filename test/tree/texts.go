package tree

import (
	"go/ast"
	"regexp"
	"slices"
	"strings"
)

// flagMakers maps the methods of a flag.FlagSet to the place of the flag's name in their arguments.
var flagMakers = map[string]int{
	"Bool": 0, "Int": 0, "Int64": 0, "Uint": 0, "Uint64": 0, "Float64": 0, "String": 0, "Duration": 0,
	"BoolFunc": 0, "Func": 0,
	"BoolVar": 1, "IntVar": 1, "Int64Var": 1, "UintVar": 1, "Uint64Var": 1, "Float64Var": 1, "StringVar": 1,
	"DurationVar": 1, "TextVar": 1, "Var": 1,
}

// flagTable matches the first cell of a table's row that names flags.
var flagTable = regexp.MustCompile("(?m)^\\| *`-[a-z]")

// flagsDocumented wants each flag of the programs in backquotes in README.md or docs, once these have
// a table of flags. A flag is known by its definition: a method of a flag set with the name as a
// literal.
func flagsDocumented(t *Tree) (bad []Violation) {
	pages := t.pages()
	if !flagTable.MatchString(pages) {
		return nil
	}
	for _, f := range t.Go {
		if f.Test || !strings.HasPrefix(f.Path, "cmd/") {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if name, ok := flagName(call); ok && !documentedFlag(pages, name) {
				bad = append(bad, f.at(call.Pos(), "flag -"+name+" is not in README.md or docs"))
			}
			return true
		})
	}
	return bad
}

// pages is the text of all that is written for users.
func (t *Tree) pages() string {
	var all strings.Builder
	for name, text := range t.Text {
		if isPage(name) {
			all.WriteString(text)
		}
	}
	return all.String()
}

// isPage reports whether a file is written for users.
func isPage(name string) bool {
	return name == "README.md" || strings.HasPrefix(name, "docs/") && strings.HasSuffix(name, ".md")
}

// flagName returns the name of the flag that a call defines. A flag has a usage text, so the call
// has at least as many arguments as that takes.
func flagName(call *ast.CallExpr) (string, bool) {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return "", false
	}
	at, ok := flagMakers[sel.Sel.Name]
	if !ok || len(call.Args) < 3 {
		return "", false
	}
	return stringOf(call.Args[at])
}

func documentedFlag(pages, name string) bool {
	return regexp.MustCompile("`--?" + regexp.QuoteMeta(name) + "[` =]").MatchString(pages)
}

// outside matches paths of the place where this was made, which mean nothing to a reader. The
// patterns are written so that they do not match themselves.
var outside = []*regexp.Regexp{
	regexp.MustCompile(`(^|[^A-Za-z0-9_./-])share[d]/`),
	regexp.MustCompile(`/wor[k]/`),
	regexp.MustCompile(`/(roo[t]|hom[e])/[a-z]+[./]`),
}

func mentions(t *Tree) (bad []Violation) {
	for name, text := range t.Text {
		if strings.HasSuffix(name, "go.sum") {
			continue
		}
		for i, line := range strings.Split(text, "\n") {
			if slices.ContainsFunc(outside, func(r *regexp.Regexp) bool { return r.MatchString(line) }) {
				bad = append(bad, Violation{name, i + 1, "refers to a file outside the tree: " + strings.TrimSpace(line)})
			}
		}
	}
	return bad
}
