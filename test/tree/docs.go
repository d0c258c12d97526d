package tree

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
)

// link matches a link or a picture of Markdown.
var link = regexp.MustCompile(`\]\(([^()\s]+)\)`)

// links wants every link between the files of the tree to lead somewhere, its anchor included. What
// lies elsewhere nobody can check without a network.
func links(t *Tree) (bad []Violation) {
	for name, text := range t.Text {
		if path.Ext(name) != ".md" {
			continue
		}
		for i, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(line, "    ") { // an example
				continue
			}
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				if !strings.Contains(m[1], "://") && !t.leads(name, m[1]) {
					bad = append(bad, Violation{name, i + 1, "the link " + m[1] + " leads nowhere"})
				}
			}
		}
	}
	return bad
}

// leads reports whether a link in a file has an end.
func (t *Tree) leads(from, target string) bool {
	file, anchor, _ := strings.Cut(target, "#")
	to := from
	if file != "" {
		to = path.Join(path.Dir(from), file)
	}
	text, ok := t.Text[to]
	if !ok {
		for name := range t.Text {
			if strings.HasPrefix(name, to+"/") {
				return anchor == ""
			}
		}
		return false
	}
	return anchor == "" || slices.Contains(anchors(text), anchor)
}

// anchors are those of a page's headings, as GitHub makes them.
func anchors(text string) (out []string) {
	for line := range strings.SplitSeq(text, "\n") {
		if title := strings.TrimLeft(line, "#"); title != line && strings.HasPrefix(title, " ") {
			out = append(out, slug(strings.TrimSpace(title)))
		}
	}
	return out
}

// notInSlug matches what an anchor leaves out of its heading.
var notInSlug = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)

func slug(title string) string {
	return strings.ReplaceAll(notInSlug.ReplaceAllString(strings.ToLower(title), ""), " ", "-")
}

// findingPage is where what diagnosis says is explained.
const findingPage = "docs/findings.md"

// term matches the heading, or the first cell of a table's row, that describes a kind or a cause.
var term = regexp.MustCompile("(?m)^(?:#+|\\|) *`([a-z_]+)`")

// findings wants every kind and every cause of mesh/diagnose described on its page, and nothing else
// described as one there.
func findings(t *Tree) (bad []Violation) {
	described := map[string]bool{}
	for _, m := range term.FindAllStringSubmatch(t.Text[findingPage], -1) {
		described[m[1]] = true
	}
	exist := map[string]bool{}
	for _, f := range t.Go {
		if f.Test || f.Dir != "mesh/diagnose" {
			continue
		}
		for _, d := range f.AST.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				kind, ok := v.Type.(*ast.Ident)
				if !ok || kind.Name != "Kind" && kind.Name != "Cause" || len(v.Values) != 1 {
					continue
				}
				name, _ := stringOf(v.Values[0])
				exist[name] = true
				if name != "" && !described[name] {
					bad = append(bad, f.at(v.Pos(), name+" is not described in "+findingPage))
				}
			}
		}
	}
	for name := range described {
		if !exist[name] {
			bad = append(bad, Violation{Path: findingPage, Text: name + " is described and does not exist"})
		}
	}
	return bad
}
