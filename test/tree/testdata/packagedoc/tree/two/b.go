// Package two is documented again.
package two
