package mesh

import "fmt"

// MaxName is the longest name of a node, pod or zone: that of a Kubernetes object.
const MaxName = 253

// CheckName returns nil when name can be the name of a node, pod or zone, and else an error that
// names what (for instance "pod name"), the bad thing and what is allowed. It is what keeps
// slashes, quotes and control characters out of URLs, labels and logs.
func CheckName(what, name string) error {
	if name == "" {
		return fmt.Errorf("%s is empty: want 1 to %d of a-z A-Z 0-9 . _ -", what, MaxName)
	}
	if len(name) > MaxName {
		return fmt.Errorf("%s %q… has %d characters: at most %d are allowed", what, name[:32], len(name), MaxName)
	}
	for i := range len(name) {
		if c := name[i]; !nameByte(c) {
			return fmt.Errorf("%s %q: %q is not allowed, want a-z A-Z 0-9 . _ -", what, name, c)
		}
	}
	if name[0] == '.' || name[0] == '-' {
		return fmt.Errorf("%s %q begins with %q: want a letter or digit first", what, name, name[0])
	}
	return nil
}

func nameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}
