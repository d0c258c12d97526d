package evidence

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Interfaces returns the addresses of every interface in CIDR form, as the original report says
// them: an interface without an address is there with an empty list.
func Interfaces() (map[string][]string, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	out := make(map[string][]string, len(interfaces))
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil { // it went while we looked
			continue
		}
		texts := make([]string, len(addrs))
		for j, a := range addrs {
			texts[j] = a.String()
		}
		out[i.Name] = texts
	}
	return out, nil
}

// Uptime returns how long the machine has been up. Inside a container it is still the machine's.
func Uptime() (time.Duration, error) {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0, err
	}
	return parseUptime(string(text))
}

// parseUptime reads the first of the two numbers in /proc/uptime: seconds with two decimals.
func parseUptime(text string) (time.Duration, error) {
	first, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	seconds, err := strconv.ParseFloat(first, 64)
	if err != nil || !(seconds >= 0 && seconds < 1e9) {
		return 0, fmt.Errorf("uptime %q: want seconds", text)
	}
	return time.Duration(seconds*1000) * time.Millisecond, nil
}
