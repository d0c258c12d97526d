package tree

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what the rules say of the fixtures to testdata/RULE/want")

// TestTree holds the project against its rules.
func TestTree(t *testing.T) {
	tree, err := Load(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Go) < 20 {
		t.Fatalf("found %d Go files only: not the project's root", len(tree.Go))
	}
	for _, rule := range Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			for _, v := range rule.Check(tree) {
				t.Errorf("%s (%s)", v, rule.Says)
			}
		})
	}
}

// TestEveryRuleFiresOnItsFixture is what keeps a rule from checking nothing: its fixture is a
// small tree with lines that break it next to lines that do not.
func TestEveryRuleFiresOnItsFixture(t *testing.T) {
	for _, rule := range Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			dir := filepath.Join("testdata", rule.Name)
			tree, err := Load(filepath.Join(dir, "tree"))
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, v := range rule.Check(tree) {
				lines = append(lines, v.String()+"\n")
			}
			slices.Sort(lines)
			got, golden := strings.Join(lines, ""), filepath.Join(dir, "want")
			if got == "" {
				t.Error("the rule does not fire on its fixture")
			}
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("found\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestEveryFixtureBelongsToARule(t *testing.T) {
	dirs, err := filepath.Glob("testdata/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		if !slices.ContainsFunc(Rules(), func(r Rule) bool { return r.Name == filepath.Base(dir) }) {
			t.Errorf("%s belongs to no rule", dir)
		}
	}
}

// TestModulesThatTestTheProductFollowItsRequirements says it before make test-cluster does: go.mod of
// a module that has ours by replacement must be as new as ours.
func TestModulesThatTestTheProductFollowItsRequirements(t *testing.T) {
	tree, err := Load(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for name, text := range tree.Text {
		if filepath.Base(name) != "go.mod" || !strings.Contains(text, "\nreplace "+Module+" => ") {
			continue
		}
		found++
		cmd := exec.Command("go", "list", "-m", "-mod=readonly", "all")
		cmd.Dir = filepath.Join("..", "..", filepath.Dir(name))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s does not fit go.mod, run go mod tidy in %s: %v\n%s", name, filepath.Dir(name), err, out)
		}
	}
	if found == 0 {
		t.Error("no such module: does this test look in the right place?")
	}
}
