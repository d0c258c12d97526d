package tree

// Rule is one thing that must hold for the whole tree.
type Rule struct {
	// Name is that of its fixture under testdata, too.
	Name string
	// Says is the rule in a sentence.
	Says  string
	check func(*Tree) []Violation
}

// Check returns the lines that break the rule.
func (r Rule) Check(t *Tree) []Violation { return r.check(t) }

// Rules returns all rules.
func Rules() []Rule {
	return []Rule{
		{"direction", "cmd imports api, api imports mesh, mesh imports probe; a sub-room imports its own room, never a sibling", direction},
		{"owners", "a library with an owner is imported by nobody else", owners},
		{"packagedoc", "every package has exactly one package comment", packageDoc},
		{"documented", "every exported name is documented", documented},
		{"size", "files and functions stay short", size},
		{"goroutines", "go statements stand only in rooms that wait for their goroutines", goroutines},
		{"process", "only cmd reads flags, the environment and signals and ends the process", process},
		{"clock", "mesh and diagnose read no clock: time is an argument", clock},
		{"noinit", "there is no init function", noInit},
		{"globals", "package-level variables are tables that nobody writes to", globals},
		{"wording", "log messages and errors begin in lower case, and errors do not say that they failed", wording},
		{"metrics", "metric names are netchecker_… or ncagent_…", metricNames},
		{"flags", "every flag of the programs is in README.md or docs", flagsDocumented},
		{"links", "every link between files of the tree leads somewhere", links},
		{"findings", "every kind and cause of a finding is described in docs/findings.md", findings},
		{"mentions", "nothing refers to files outside the tree", mentions},
	}
}
