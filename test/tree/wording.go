package tree

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// logNames are the methods of a slog.Logger whose first string is the message.
var logNames = []string{"Debug", "Info", "Warn", "Error", "DebugContext", "InfoContext", "WarnContext", "ErrorContext"}

// errorMakers are the functions whose string becomes an error's text.
var errorMakers = []string{"errors.New", "fmt.Errorf", "github.com/labstack/echo/v4.NewHTTPError"}

// failing matches what an error need not say: it is an error.
var failing = regexp.MustCompile(`\b(failed to|error while|error when|unable to|could not)\b`)

func wording(t *Tree) (bad []Violation) {
	for _, f := range t.Go {
		if f.Test {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			pkg, name := f.picked(call.Fun)
			sel, _ := call.Fun.(*ast.SelectorExpr)
			switch {
			case slices.Contains(errorMakers, pkg+"."+name):
				bad = append(bad, errorWording(f, call)...)
			case sel != nil && slices.Contains(logNames, sel.Sel.Name) && (pkg == "" || pkg == "log/slog"):
				if text, at, ok := firstString(call); ok && shouts(text) {
					bad = append(bad, f.at(at, "log message begins in upper case: "+text))
				}
			}
			return true
		})
	}
	return bad
}

func errorWording(f *File, call *ast.CallExpr) (bad []Violation) {
	text, at, ok := firstString(call)
	if !ok {
		return nil
	}
	if shouts(text) {
		bad = append(bad, f.at(at, "error begins in upper case: "+text))
	}
	if failing.MatchString(text) {
		bad = append(bad, f.at(at, "error says that it is one, name the operation: "+text))
	}
	if strings.HasSuffix(text, "!") || strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "...") {
		bad = append(bad, f.at(at, "error ends like a sentence: "+text))
	}
	return bad
}

// firstString returns the first argument of a call that is a string literal, among the first two.
func firstString(call *ast.CallExpr) (string, token.Pos, bool) {
	for _, arg := range call.Args[:min(2, len(call.Args))] {
		if text, ok := stringOf(arg); ok {
			return text, arg.Pos(), true
		}
	}
	return "", 0, false
}

// stringOf returns the value of a string literal, or of the beginning of a sum of strings.
func stringOf(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind == token.STRING {
			text, err := strconv.Unquote(e.Value)
			return text, err == nil
		}
	case *ast.BinaryExpr:
		return stringOf(e.X)
	}
	return "", false
}

// shouts reports whether a text begins with a capitalised word; an acronym or a name such as
// "DNS", "TokenReview" or "ServiceMonitor" is none.
func shouts(text string) bool {
	word, _, _ := strings.Cut(text, " ")
	first, n := utf8.DecodeRuneInString(word)
	return unicode.IsUpper(first) && n < len(word) && strings.ToLower(word[n:]) == word[n:]
}

// metricName is what our series are called.
var metricName = regexp.MustCompile(`^(netchecker|ncagent)_[a-z][a-z0-9_]*$`)

func metricNames(t *Tree) (bad []Violation) {
	for _, f := range t.Go {
		if f.Test {
			continue
		}
		check := func(e ast.Expr) {
			if text, ok := stringOf(e); ok && !metricName.MatchString(text) {
				bad = append(bad, f.at(e.Pos(), "metric name "+strconv.Quote(text)+" is not netchecker_… or ncagent_…"))
			}
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if pkg, name := f.picked(n.Fun); hasPath(pkg, "github.com/prometheus/client_golang") && name == "NewDesc" && len(n.Args) > 0 {
					check(n.Args[0])
				}
			case *ast.CompositeLit:
				if pkg, name := f.picked(n.Type); hasPath(pkg, "github.com/prometheus/client_golang") && strings.HasSuffix(name, "Opts") {
					eachField(n, "Name", check)
				}
			}
			return true
		})
	}
	return bad
}

func eachField(lit *ast.CompositeLit, name string, yield func(ast.Expr)) {
	for _, element := range lit.Elts {
		if kv, ok := element.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == name {
				yield(kv.Value)
			}
		}
	}
}
