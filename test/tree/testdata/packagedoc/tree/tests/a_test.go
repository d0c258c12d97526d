// Package tests has tests alone.
package tests
