package probe

// Good is documented.
type Good struct{ Field int }

// Do is documented.
func (g *Good) Do() {}

func (g *Good) Undo() {}

func (g *Good) Error() string { return "" }

type Bad struct{}

type generic[T any] struct{}

func (g *generic[T]) Hidden() {}

// List is documented.
type List[T any] struct{}

func (l *List[T]) Push() {}

// The group is documented.
const (
	A = 1
	B = 2
)

const C = 3

var (
	// D is documented.
	D = 4
	E = 5 // on its line
	F = 6
)

func Open() {}

func shut() {}
