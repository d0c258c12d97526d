package mesh

import (
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "9", "node-3", "ip-10-0-0-1.eu-1.compute.internal", "A_b", "_x", "x-", "x.", strings.Repeat("n", MaxName)} {
		if err := CheckName("node name", name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "-a", ".a", "a/b", "a b", `a"b`, "a\nb", "a\x00", "ä", "a%2f", "{a}", strings.Repeat("n", MaxName+1), strings.Repeat("ä", MaxName)} {
		err := CheckName("node name", name)
		if err == nil {
			t.Errorf("%q was taken", name)
			continue
		}
		text := err.Error()
		if !strings.HasPrefix(text, "node name ") || strings.ContainsAny(text, "\n\x00") || len(text) > 2*MaxName {
			t.Errorf("%q: the error does not do: %s", name, text)
		}
	}
}
