// Package none has a comment in its tests alone, which nobody reads.
package none
