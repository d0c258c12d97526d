package store

import (
	_ "netchecker/api"
	_ "netchecker/mesh/diagnose"
	_ "netchecker/mesh/kube" // bad: wired in cmd
)
