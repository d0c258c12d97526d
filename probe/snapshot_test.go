package probe

import "testing"

func TestEveryCounterHasANameOfItsOwn(t *testing.T) {
	seen := map[string]Counter{}
	for c := range Counter(Counters) {
		if other, double := seen[c.String()]; c.String() == "" || double {
			t.Errorf("counter %d is %q, as is counter %d", c, c, other)
		}
		seen[c.String()] = c
	}
}
