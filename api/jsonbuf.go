package api

import (
	"encoding/json"
	"io"
	"strconv"
	"time"

	"netchecker/probe"
)

// jsonBuf appends JSON and writes it out in chunks. 160,000 paths take 50 MB, which reflection needs
// seconds for and nobody should hold at once.
type jsonBuf struct {
	b   []byte
	out io.Writer
	err error
}

// chunk is when a buffer is written out.
const chunk = 64 << 10

func (j *jsonBuf) raw(s string) { j.b = append(j.b, s...) }

// flush writes what there is, once it is a chunk; the last call forces it. After an error nothing
// more is written and ok is false: the reader went away.
func (j *jsonBuf) flush(force bool) (ok bool) {
	if j.err == nil && (force || len(j.b) >= chunk) {
		_, j.err = j.out.Write(j.b)
		j.b = j.b[:0]
	}
	return j.err == nil
}

// text appends a string. Names hold nothing to quote; for anything else encoding/json decides.
func (j *jsonBuf) text(s string) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic(err) // a string always encodes
			}
			j.b = append(j.b, quoted...)
			return
		}
	}
	j.b = append(append(append(j.b, '"'), s...), '"')
}

// time appends a time in UTC, null for the zero time.
func (j *jsonBuf) time(t time.Time) {
	if t.IsZero() {
		j.raw("null")
		return
	}
	j.b = append(t.UTC().AppendFormat(append(j.b, '"'), timeForm), '"')
}

// timeForm is RFC 3339 with milliseconds.
const timeForm = "2006-01-02T15:04:05.000Z07:00"

func (j *jsonBuf) int(n int) { j.b = strconv.AppendInt(j.b, int64(n), 10) }

func (j *jsonBuf) loss(key string, l probe.Loss) {
	if l <= 200 {
		j.raw(key)
		j.raw(lossTexts[l])
	}
}

// lossTexts are the shares that a probe.Loss can hold, 0 to 1 in steps of 0.005.
var lossTexts = func() (table [201]string) {
	for i := range table {
		table[i] = strconv.FormatFloat(float64(i)/200, 'f', -1, 64)
	}
	return table
}()

// millis appends a duration in ms, to the µs.
func (j *jsonBuf) millis(d time.Duration) { j.b = appendMillis(j.b, d) }

func appendMillis(b []byte, d time.Duration) []byte {
	us := (int64(d) + 500) / 1000
	b = strconv.AppendInt(b, us/1000, 10)
	if us %= 1000; us == 0 {
		return b
	}
	b = append(b, '.', byte('0'+us/100), byte('0'+us/10%10), byte('0'+us%10))
	for b[len(b)-1] == '0' {
		b = b[:len(b)-1]
	}
	return b
}
