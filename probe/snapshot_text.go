package probe

import (
	"strings"
	"unicode"
)

// maxWireString is the most bytes of a name or an error's text.
const maxWireString = 200

// text is a name: its place in the table of names, from 1; 0 is the empty one.
func (w *wire) text(s *string) {
	if !w.writing {
		var at uint64
		number(w, &at)
		switch {
		case at > uint64(len(w.strings)):
			w.bad = true
		case at > 0:
			*s = w.strings[at-1]
		}
		return
	}
	var at uint64
	if *s != "" {
		known := false
		if at, known = w.index[*s]; !known {
			w.strings = append(w.strings, *s)
			at = uint64(len(w.strings))
			w.index[*s] = at
		}
	}
	number(w, &at)
}

// stringTable holds all names, each behind its length. What would confuse a terminal or a log is
// replaced while writing and refused while reading.
func (w *wire) stringTable() {
	if w.writing {
		for _, s := range w.strings {
			s = printable(s)
			w.b = append(append(w.b, byte(len(s))), s...)
		}
		return
	}
	for len(w.b) > 0 && !w.bad {
		var n byte
		wireByte(w, &n)
		s := string(w.take(int(n)))
		if w.bad = w.bad || s != printable(s); !w.bad {
			w.strings = append(w.strings, s)
		}
	}
}

func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
	if len(s) > maxWireString {
		s = strings.ToValidUTF8(s[:maxWireString], "")
	}
	return s
}
