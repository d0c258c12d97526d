// Package two is documented.
package two
