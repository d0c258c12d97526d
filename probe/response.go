package probe

import (
	"bytes"
	"strconv"
)

// response collects the answer to a tcp probe: enough of HTTP/1.1 for a reply of a known length.
// It keeps the first kilobyte, which holds the header and the packet, and counts the rest.
type response struct {
	kept  [1024]byte
	total int // bytes received
	start int // where the body begins; 0: header not whole yet
	want  int // length of the body
}

const httpPrefix = "HTTP/1."

var headerEnd = []byte("\r\n\r\n")

// take adds what was read. complete says that the whole body is here; broken that this is no answer of ours.
func (r *response) take(b []byte) (complete, broken bool) {
	if r.total < len(r.kept) {
		copy(r.kept[r.total:], b)
	}
	r.total += len(b)
	if r.start == 0 {
		head := r.kept[:min(r.total, len(r.kept))]
		if !bytes.HasPrefix(head, []byte(httpPrefix)[:min(len(head), len(httpPrefix))]) {
			return false, true
		}
		end := bytes.Index(head, headerEnd)
		if end < 0 {
			return false, r.total >= len(r.kept)
		}
		r.start = end + len(headerEnd)
		length, ok := parseHead(head[:end])
		if !ok || length < PacketSize || r.start+PacketSize > len(r.kept) {
			return false, true
		}
		r.want = length
	}
	return r.total >= r.start+r.want, false
}

// body returns the packet of a complete response.
func (r *response) body() []byte { return r.kept[r.start : r.start+PacketSize] }

// parseHead returns the length of the body that a status line and headers announce; false when the status is not 200.
func parseHead(head []byte) (length int, ok bool) {
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if !bytes.HasPrefix(line, []byte(httpPrefix)) || len(line) < 12 || string(line[8:12]) != " 200" {
		return 0, false
	}
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("content-length")) {
			n, err := strconv.Atoi(string(bytes.TrimSpace(value)))
			return n, err == nil && n <= bigBody
		}
	}
	return 0, false
}
