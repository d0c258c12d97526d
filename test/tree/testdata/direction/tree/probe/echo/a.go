package echo

import (
	_ "netchecker/probe"
	_ "netchecker/probe/echo/internal"
	_ "netchecker/probe/service" // bad: a sibling
)
