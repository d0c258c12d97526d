package api

import (
	_ "github.com/hashicorp/memberlist" // bad
	_ "github.com/labstack/echo/v4"
	_ "github.com/prometheus/exporter-toolkit/web" // bad
	_ "os/exec"                                    // bad
)
