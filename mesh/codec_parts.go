package mesh

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"netchecker/probe"
)

func appendDetails(dst []byte, details []Detail) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(details)))
	for i := range details {
		dst = binary.AppendUvarint(dst, uint64(details[i].Dest))
		for _, p := range details[i].Probes {
			dst = append(dst, byte(p.Code), byte(p.Loss), byte(p.Forward), byte(p.Return))
			dst = binary.AppendUvarint(dst, uint64(p.MaxBytes))
			dst = binary.AppendUvarint(dst, uint64(p.BadFlows))
			dst = binary.AppendUvarint(dst, uint64(p.AgeMillis))
		}
	}
	return dst
}

func parseDetails(b []byte, dests int) ([]Detail, error) {
	r := reader{b: b}
	out := make([]Detail, 0, r.count(MaxDetails))
	for range cap(out) {
		d := Detail{Dest: uint32(r.bounded(math.MaxUint32))}
		for k := range d.Probes {
			p := &d.Probes[k]
			p.Code, p.Loss, p.Forward, p.Return = probe.Code(r.byte()), probe.Loss(r.byte()), probe.Loss(r.byte()), probe.Loss(r.byte())
			p.MaxBytes, p.BadFlows = uint16(r.bounded(math.MaxUint16)), uint16(r.bounded(math.MaxUint16))
			p.AgeMillis = uint32(r.bounded(math.MaxUint32))
		}
		if r.err == nil && int(d.Dest) >= dests {
			return nil, fmt.Errorf("detail: destination %d of %d", d.Dest, dests)
		}
		out = append(out, d)
	}
	if r.err != nil {
		return nil, fmt.Errorf("details: %w", r.err)
	}
	if !ascending(out, func(d Detail) uint32 { return d.Dest }) {
		return nil, errors.New("details: not in order, or a destination twice")
	}
	return out, nil
}

func appendHeardDetails(dst []byte, details []HeardDetail) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(details)))
	for i := range details {
		h := &details[i]
		dst = binary.AppendUvarint(dst, uint64(h.Sender))
		dst = binary.BigEndian.AppendUint64(dst, h.Boot)
		dst = binary.AppendUvarint(dst, uint64(h.Highest))
		for _, c := range h.Counts {
			dst = binary.AppendUvarint(dst, c)
		}
		dst = append(dst, byte(h.Loss))
		dst = binary.AppendUvarint(dst, uint64(h.BadFlows))
		dst = binary.AppendUvarint(dst, uint64(h.AgeMillis))
	}
	return dst
}

func parseHeardDetails(b []byte, dests int) ([]HeardDetail, error) {
	r := reader{b: b}
	out := make([]HeardDetail, 0, r.count(MaxDetails))
	for range cap(out) {
		h := HeardDetail{Sender: uint32(r.bounded(math.MaxUint32)), Boot: r.uint64(), Highest: uint32(r.bounded(math.MaxUint32))}
		for k := range h.Counts {
			h.Counts[k] = r.uvarint()
		}
		h.Loss = probe.Loss(r.byte())
		h.BadFlows, h.AgeMillis = uint16(r.bounded(math.MaxUint16)), uint32(r.bounded(math.MaxUint32))
		if r.err == nil && int(h.Sender) >= dests {
			return nil, fmt.Errorf("heard: sender %d of %d", h.Sender, dests)
		}
		out = append(out, h)
	}
	if r.err != nil {
		return nil, fmt.Errorf("heard: %w", r.err)
	}
	if !ascending(out, func(h HeardDetail) uint32 { return h.Sender }) {
		return nil, errors.New("heard: not in order, or a sender twice")
	}
	return out, nil
}

// maxServices bounds the services of one row.
const maxServices = 256

func appendServices(dst []byte, services []probe.Service) []byte {
	services = services[:min(len(services), maxServices)]
	dst = binary.AppendUvarint(dst, uint64(len(services)))
	for i := range services {
		s := &services[i]
		for _, text := range [...]string{s.Name, s.Kind, s.Address, s.Detail} {
			dst = appendString(dst, text)
		}
		dst = append(dst, byte(s.State), byte(s.Code), byte(s.Loss))
		dst = binary.AppendUvarint(dst, uint64(max(s.RTT, 0)/time.Microsecond))
		dst = binary.AppendUvarint(dst, uint64(max(s.Age, 0)/time.Millisecond))
	}
	return dst
}

func parseServices(b []byte) ([]probe.Service, error) {
	if b == nil {
		return nil, nil
	}
	r := reader{b: b}
	out := make([]probe.Service, 0, r.count(maxServices))
	for range cap(out) {
		s := probe.Service{Name: r.string(), Kind: r.string(), Address: r.string(), Detail: r.string()}
		s.State, s.Code, s.Loss = probe.State(r.byte()&3), probe.Code(r.byte()), probe.Loss(r.byte())
		s.RTT = time.Duration(r.bounded(math.MaxUint32)) * time.Microsecond
		s.Age = time.Duration(r.bounded(math.MaxUint32)) * time.Millisecond
		out = append(out, s)
	}
	if r.err != nil {
		return nil, fmt.Errorf("services: %w", r.err)
	}
	return out, nil
}
