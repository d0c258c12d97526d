package gossip

import (
	_ "netchecker/api" // bad: upwards
	_ "netchecker/mesh"
	_ "netchecker/probe"
)
