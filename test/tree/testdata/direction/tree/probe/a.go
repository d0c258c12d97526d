package probe

import (
	_ "fmt"
	_ "netchecker/mesh" // bad: upwards
)
