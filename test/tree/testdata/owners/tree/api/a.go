package api

import (
	_ "github.com/hashicorp/memberlist" // bad
	_ "github.com/labstack/echo/v4"
	_ "os/exec" // bad
)
