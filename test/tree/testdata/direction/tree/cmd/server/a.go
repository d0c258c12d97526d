package server

import (
	_ "netchecker/api"
	_ "netchecker/mesh/kube"
)
