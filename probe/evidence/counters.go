package evidence

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"netchecker/probe"
)

// counterByName finds a counter by "group.name".
var counterByName = func() map[string]probe.Counter {
	m := make(map[string]probe.Counter, probe.Counters)
	for c := range probe.Counter(probe.Counters) {
		m[c.String()] = c
	}
	return m
}()

type counts = [probe.Counters]probe.Count

// counterFiles are the sources, below procNet, with their parsers.
var counterFiles = []struct {
	path  string
	parse func(text string, to *counts)
}{
	{"snmp", parseTwoLines},
	{"netstat", parseTwoLines},
	{"snmp6", parseOneLine},
	{"stat/nf_conntrack", func(s string, to *counts) { parseColumns(s, "conntrack.", to) }},
	{"stat/arp_cache", func(s string, to *counts) { parseColumns(s, "arp_cache.", to) }},
	{"softnet_stat", parseSoftnet},
}

// readCounters reads the totals. A file that is not there (no conntrack, no IPv6, not the first
// namespace) leaves its counters unknown.
func readCounters(stop time.Time) (to counts, err error) {
	for _, f := range counterFiles {
		data, e := readProc(stop, procNet+f.path, maxProcFile)
		switch {
		case e == nil:
			f.parse(string(data), &to)
		case !errors.Is(e, os.ErrNotExist):
			err = errors.Join(err, e)
		}
	}
	return to, err
}

func setCount(to *counts, name string, value uint64) {
	if c, ok := counterByName[name]; ok {
		to[c] = probe.Count{Total: value, Known: true}
	}
}

// parseTwoLines reads /proc/net/snmp and netstat: a line of names after "Group:", then one of
// values after the same.
func parseTwoLines(text string, to *counts) {
	var group string
	var names []string
	for line := range strings.Lines(text) {
		head, rest, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		fields := strings.Fields(rest)
		if head != group || names == nil {
			group, names = head, fields
			continue
		}
		for i, field := range fields[:min(len(fields), len(names))] {
			if v, err := strconv.ParseUint(field, 10, 64); err == nil { // MaxConn is -1
				setCount(to, group+"."+names[i], v)
			}
		}
		names = nil
	}
}

// parseOneLine reads /proc/net/snmp6: a name with its group, then the value.
func parseOneLine(text string, to *counts) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(line, " ")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		at := strings.IndexByte(name, '6')
		if v, err := strconv.ParseUint(value, 10, 64); err == nil && at >= 0 {
			setCount(to, name[:at+1]+"."+name[at+1:], v)
		}
	}
}

// parseColumns reads the files below /proc/net/stat: a line of names, then a line of hexadecimal
// values for each CPU.
func parseColumns(text, group string, to *counts) {
	head, rest, _ := strings.Cut(text, "\n")
	names := strings.Fields(head)
	sums := make([]uint64, len(names))
	lines := 0
	for line := range strings.Lines(rest) {
		fields := strings.Fields(line)
		for i, field := range fields[:min(len(fields), len(names))] {
			if v, err := strconv.ParseUint(field, 16, 64); err == nil {
				sums[i] += v
			}
		}
		lines++
	}
	for i, name := range names {
		if lines > 0 {
			setCount(to, group+name, sums[i])
		}
	}
}

// parseSoftnet reads /proc/net/softnet_stat: a line for each CPU, without names.
func parseSoftnet(text string, to *counts) {
	columns := [...]probe.Counter{probe.SoftnetProcessed, probe.SoftnetDropped, probe.SoftnetSqueezed}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < len(columns) {
			continue
		}
		for i, c := range columns {
			if v, err := strconv.ParseUint(fields[i], 16, 64); err == nil {
				to[c].Total += v
				to[c].Known = true
			}
		}
	}
}
