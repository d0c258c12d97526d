package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Bits of CTA_STATUS: the flow has seen both directions, must not be evicted, is in the table.
const assured = 1<<1 | 1<<2 | 1<<3

// fillConntrack fills node k's connection table to the machine's limit with flows that may not be
// evicted. The limit itself, which all namespaces share, stays as it is.
func (b *breaker) fillConntrack(k int) {
	b.step(func() error { return b.lab.Do(NodeName(k), fillConntrack) }, func() error {
		return b.lab.Do(NodeName(k), func() error { return netlink.ConntrackTableFlush(netlink.ConntrackTable) })
	})
}

func fillConntrack() error {
	limit, err := readNumber("/proc/sys/net/netfilter/nf_conntrack_max")
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// Entries come and go meanwhile: repeat until the table has stayed full.
	const batch = 200
	for next, tries := 0, 0; tries < 20; tries++ {
		count, err := readNumber("/proc/sys/net/netfilter/nf_conntrack_count")
		if err != nil {
			return err
		}
		if count >= limit && tries > 0 {
			return nil
		}
		for missing := limit - count; missing > 0; missing -= batch {
			if err := createFlows(fd, next, min(batch, missing)); err != nil {
				return err
			}
			next += batch
		}
	}
	return errors.New("connection table does not stay full")
}

// createFlows sends a batch of requests to create flows. The kernel answers only those that fail,
// as they do once the table is full; nobody reads these answers.
func createFlows(fd, first, count int) error {
	var data []byte
	for i := range count {
		data = append(data, newFlow(first+i)...)
	}
	err := unix.Sendto(fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err != nil && !errors.Is(err, unix.ENOBUFS) {
		return fmt.Errorf("create flows: %w", err)
	}
	return nil
}

// newFlow is the request for UDP flow number n, between two networks that exist nowhere.
func newFlow(n int) []byte {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|nl.IPCTNL_MSG_CT_NEW, unix.NLM_F_CREATE)
	req.AddData(&nl.Nfgenmsg{NfgenFamily: unix.AF_INET, Version: nl.NFNETLINK_V0})
	a, b := []byte{198, 18, byte(n >> 24), byte(n >> 16)}, []byte{198, 19, 0, 1}
	port, peer := 1024+uint16(n%50000), uint16(1024+n/50000)
	req.AddData(flowTuple(nl.CTA_TUPLE_ORIG, a, b, port, peer))
	req.AddData(flowTuple(nl.CTA_TUPLE_REPLY, b, a, peer, port))
	req.AddData(nl.NewRtAttr(nl.CTA_STATUS, nl.BEUint32Attr(assured)))
	req.AddData(nl.NewRtAttr(nl.CTA_TIMEOUT, nl.BEUint32Attr(3600)))
	return req.Serialize()
}

func flowTuple(kind int, src, dst []byte, sport, dport uint16) *nl.RtAttr {
	tuple := nl.NewRtAttr(unix.NLA_F_NESTED|kind, nil)
	ip := nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_IP, nil)
	ip.AddRtAttr(nl.CTA_IP_V4_SRC, src)
	ip.AddRtAttr(nl.CTA_IP_V4_DST, dst)
	proto := nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_PROTO, nil)
	proto.AddRtAttr(nl.CTA_PROTO_NUM, []byte{unix.IPPROTO_UDP})
	proto.AddRtAttr(nl.CTA_PROTO_SRC_PORT, binary.BigEndian.AppendUint16(nil, sport))
	proto.AddRtAttr(nl.CTA_PROTO_DST_PORT, binary.BigEndian.AppendUint16(nil, dport))
	tuple.AddChild(ip)
	tuple.AddChild(proto)
	return tuple
}

func readNumber(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}
