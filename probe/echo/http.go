package echo

import (
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"sync"

	"netchecker/probe"
)

// maxBody is the longest request of a tcp probe: 8 KiB, so that it and its answer need more than one packet each.
const maxBody = 8192

var bodies = sync.Pool{New: func() any { return new([maxBody]byte) }}

// Handler answers the tcp probe: POST /probe with a packet, padded or not, as body. The answer is as
// long as the request. Who is no agent of ours learns nothing but the status.
func (r *Responder) Handler() http.Handler { return http.HandlerFunc(r.serve) }

func (r *Responder) serve(w http.ResponseWriter, req *http.Request) {
	w.Header()["Date"] = nil // nobody reads it, and it costs
	length := int(req.ContentLength)
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if length < probe.PacketSize || length > maxBody {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	body := bodies.Get().(*[maxBody]byte)
	defer bodies.Put(body)
	if _, err := io.ReadFull(req.Body, body[:length]); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	from, err := netip.ParseAddrPort(req.RemoteAddr)
	if err != nil || body[2] != byte(probe.TCP) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var reply [probe.PacketSize]byte
	if !r.Answer(reply[:], body[:probe.PacketSize], from, r.cfg.Clock()) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	r.Seal(reply[:], 0)
	copy(body[:], reply[:])
	clear(body[probe.PacketSize:length])
	w.Header().Set("Content-Length", strconv.Itoa(length))
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(body[:length]) // the peer closes with RST as soon as it has read; nothing to do about it
}
