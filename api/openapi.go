package api

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

//go:embed openapi.yaml
var openAPIText []byte

// openAPI serves GET /api/v1/openapi.yaml, the description of this whole face.
func openAPI(c echo.Context) error {
	return c.Blob(http.StatusOK, "application/yaml", openAPIText)
}
