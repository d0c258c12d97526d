package api_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"go.yaml.in/yaml/v3"
)

// described is what openapi.yaml says of one operation.
type described struct {
	query    []string
	statuses []string
}

// parameter is one of openapi.yaml, or where it stands.
type parameter struct {
	Ref      string `yaml:"$ref"`
	Name, In string
}

// description reads openapi.yaml, by "GET /path/:name".
func description(t *testing.T) map[string]described {
	t.Helper()
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Paths      map[string]map[string]yaml.Node
		Components struct{ Parameters map[string]parameter }
	}
	if err := yaml.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	out := map[string]described{}
	for path, methods := range all.Paths {
		for method, node := range methods {
			if method == "parameters" {
				continue
			}
			var o struct {
				Parameters []parameter
				Responses  map[string]any
			}
			if err := node.Decode(&o); err != nil {
				t.Fatal(path, method, err)
			}
			d := described{statuses: slices.Sorted(maps.Keys(o.Responses))}
			for _, p := range o.Parameters {
				if p.Ref != "" {
					p = all.Components.Parameters[strings.TrimPrefix(p.Ref, "#/components/parameters/")]
				}
				if p.In == "query" {
					d.query = append(d.query, p.Name)
				}
			}
			slices.Sort(d.query)
			out[strings.ToUpper(method)+" "+regexp.MustCompile(`\{(\w+)\}`).ReplaceAllString(path, ":$1")] = d
		}
	}
	return out
}

// source is what this package's functions say, by name; methods of one name count as one.
type source struct {
	t     *testing.T
	funcs map[string][]*ast.FuncDecl
	lists map[string][]string // variables that are lists of strings
}

func readSource(t *testing.T) *source {
	t.Helper()
	s := &source{t, map[string][]*ast.FuncDecl{}, map[string][]string{}}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				s.funcs[fn.Name.Name] = append(s.funcs[fn.Name.Name], fn)
			}
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 {
				if list, ok := v.Values[0].(*ast.CompositeLit); ok {
					s.lists[v.Names[0].Name] = literals(list.Elts)
				}
			}
			return true
		})
	}
	return s
}

func literals(list []ast.Expr) (out []string) {
	for _, e := range list {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, _ := strconv.Unquote(lit.Value)
			out = append(out, text)
		}
	}
	return out
}

// before lists the functions that make the middleware of a path, as Handler registers it.
func (s *source) before(path string) (out []string) {
	ast.Inspect(s.funcs["Handler"][0], func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) < 3 || !slices.Contains(literals(call.Args[:1]), path) {
			return true
		}
		for _, arg := range call.Args[2:] {
			if m, ok := arg.(*ast.CallExpr); ok {
				out = append(out, calledName(m))
			}
		}
		return false
	})
	return out
}

// reads lists the query parameters that functions read and the statuses they fail with, themselves or
// in what they call. Without types a call is told by its name and the number of its arguments.
func (s *source) reads(names ...string) (query, statuses []string) {
	var todo []*ast.FuncDecl
	for _, name := range names {
		todo = append(todo, s.funcs[name]...)
	}
	seen := map[*ast.FuncDecl]bool{}
	for ; len(todo) > 0; todo = todo[1:] {
		fn := todo[0]
		if seen[fn] {
			continue
		}
		seen[fn] = true
		ast.Inspect(fn, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name := calledName(call)
			for _, callee := range s.funcs[name] {
				if takes(callee, len(call.Args)) && !slices.Contains(parameters(fn), name) {
					todo = append(todo, callee)
				}
			}
			switch name {
			case "queryOf":
				query = append(query, literals(call.Args)...)
				if list, ok := call.Args[len(call.Args)-1].(*ast.Ident); ok && call.Ellipsis.IsValid() {
					query = append(query, s.lists[list.Name]...)
				}
			case "QueryParam":
				query = append(query, literals(call.Args)...)
			case "QueryParams", "QueryString", "Query":
				s.t.Errorf("%s reads its parameters by %s, which this test does not understand: use queryOf", fn.Name.Name, name)
			case "fail", "failf":
				if status, ok := call.Args[0].(*ast.SelectorExpr); ok {
					statuses = append(statuses, codes[status.Sel.Name])
				}
			}
			return true
		})
	}
	slices.Sort(query)
	slices.Sort(statuses)
	return slices.Compact(query), slices.Compact(statuses)
}

// takes reports whether a function may be called with n arguments.
func takes(fn *ast.FuncDecl, n int) bool {
	list := fn.Type.Params.List
	if len(list) > 0 {
		if _, variadic := list[len(list)-1].Type.(*ast.Ellipsis); variadic {
			return n >= len(parameters(fn))-1
		}
	}
	return n == len(parameters(fn))
}

func parameters(fn *ast.FuncDecl) (out []string) {
	for _, field := range fn.Type.Params.List {
		for _, name := range field.Names {
			out = append(out, name.Name)
		}
	}
	return out
}

func calledName(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// codes are the statuses that this package fails with.
var codes = map[string]string{"StatusBadRequest": "400", "StatusUnauthorized": "401", "StatusForbidden": "403", "StatusNotFound": "404",
	"StatusRequestTimeout": "408", "StatusConflict": "409", "StatusRequestEntityTooLarge": "413", "StatusUnsupportedMediaType": "415",
	"StatusTooManyRequests": "429", "StatusInternalServerError": "500", "StatusBadGateway": "502", "StatusServiceUnavailable": "503"}

// TestTheDescriptionIsWhole compares openapi.yaml with the routes, with the parameters that the
// handlers read, and with the statuses they fail with.
func TestTheDescriptionIsWhole(t *testing.T) {
	f := serve(t, nil)
	nothing := http.NotFoundHandler()
	f.server.Mount("/metrics", nothing) // what cmd/server mounts
	f.server.Mount("/", nothing)
	said, src := description(t), readSource(t)
	method := regexp.MustCompile(`api\.(?:\(\*Server\)\.)?(\w+)(?:-fm)?$`)
	found := map[string]bool{}
	for _, r := range f.server.Handler().(*echo.Echo).Routes() {
		if r.Method == http.MethodHead || r.Path == "/*" || strings.HasSuffix(r.Name, ".postOnly") { // as GET; the files of the page; a 405
			continue
		}
		key := r.Method + " " + r.Path
		found[key] = true
		d, ok := said[key]
		if !ok {
			t.Errorf("%s is not described", key)
			continue
		}
		var query, statuses []string
		if name := method.FindStringSubmatch(r.Name); name != nil && src.funcs[name[1]] != nil {
			query, statuses = src.reads(append(src.before(r.Path), name[1])...)
		} else if r.Path != "/" && r.Path != "/metrics" {
			t.Errorf("%s is served by %s, which is no function of this package: is it a closure?", key, r.Name)
		}
		if !slices.Equal(query, d.query) {
			t.Errorf("%s reads the parameters %q, described are %q", key, query, d.query)
		}
		for _, status := range statuses {
			if status == "" {
				t.Errorf("%s fails with a status that this test does not know", key)
			} else if !slices.Contains(d.statuses, status) && !slices.Contains(d.statuses, "default") {
				t.Errorf("%s may be answered %s, which is not described", key, status)
			}
		}
	}
	for key := range said {
		if !found[key] {
			t.Errorf("%s is described and does not exist", key)
		}
	}
}
