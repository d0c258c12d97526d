// Package one is documented.
package one
