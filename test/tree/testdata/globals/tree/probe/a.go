package probe

import (
	"errors"
	"regexp"
	"sync"
)

var (
	errGood = errors.New("good")
	pattern = regexp.MustCompile("x")
	names   = [...]string{"a", "b"}
	squares = func() (t [10]int) {
		for i := range t {
			t[i] = i * i
		}
		return t
	}()
	_ error = errGood
)

var unset int

var counter = 1

var seen = map[string]bool{}

var other = map[string]bool{}

var pool = sync.Pool{}

var once = sync.Once{}

var made = make([]int, 3)

var pointer = &struct{}{}

func use() {
	counter++
	seen["x"] = true
	names := []string{"local"}
	names[0] = "changed"
}
