package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"netchecker/mesh"
)

// Auth says how agents prove who they are.
type Auth string

// The ways of authentication.
const (
	// AuthSecret derives all keys from one file: it proves membership, not the name.
	AuthSecret Auth = "secret"
	// AuthNone takes everything from everybody.
	AuthNone Auth = "none"
)

// Purpose says what a signature is for. Each has its own key, so that a signature made for one never stands for another.
type Purpose uint8

// The purposes of signatures.
const (
	// ForRow signs a row, ForReport a report, both by the agent for the server.
	ForRow Purpose = iota
	ForReport
	// ForRelay asks a peer to relay, signed with the mesh key.
	ForRelay
	// ForVia is by the relaying peer for the server, over what the agent signed.
	ForVia
	purposes = 4
)

// String returns the purpose as it enters the derivation of its key.
func (p Purpose) String() string {
	return [...]string{"row", "report", "relay", "via", "unknown"}[min(p, purposes)]
}

// The headers that carry signatures.
const (
	// SignatureHeader holds the agent's signature of a row or report.
	SignatureHeader = "Netchecker-Signature"
	// RelayHeader holds the signature that asks a peer for a relay.
	RelayHeader = "Netchecker-Relay"
	// ViaHeader names the relaying agent, as NODE/NETWORK, and holds its signature.
	ViaHeader = "Netchecker-Via"
)

// Signature is an HMAC-SHA256 over the purpose, the signer's name, Boot, Sequence and a body. Boot
// and Sequence make every message differ: the receiver refuses one it has seen.
type Signature struct {
	Boot, Sequence uint64
	MAC            [sha256.Size]byte
}

// String returns the signature as it stands in a header: "v1 BOOT SEQUENCE HEX".
func (s Signature) String() string {
	return fmt.Sprintf("v1 %d %d %s", s.Boot, s.Sequence, hex.EncodeToString(s.MAC[:]))
}

// ParseSignature is the inverse of String. It never panics.
func ParseSignature(text string) (s Signature, err error) {
	parts := strings.Split(text, " ")
	if len(parts) != 4 || parts[0] != "v1" {
		return s, errors.New("signature: want \"v1 BOOT SEQUENCE HEX\"")
	}
	if s.Boot, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return s, errors.New("signature: boot is no number")
	}
	if s.Sequence, err = strconv.ParseUint(parts[2], 10, 64); err != nil {
		return s, errors.New("signature: sequence is no number")
	}
	if len(parts[3]) != 2*len(s.MAC) {
		return s, fmt.Errorf("signature: %d hexadecimal digits, want %d", len(parts[3]), 2*len(s.MAC))
	}
	if _, err := hex.Decode(s.MAC[:], []byte(parts[3])); err != nil {
		return s, errors.New("signature: digits are not hexadecimal")
	}
	return s, nil
}

// Keys signs with the first of its secrets and accepts the signatures of all, so that a secret can
// be replaced with no agent refused. It is immutable; any goroutine may use it. A nil *Keys signs
// nothing and accepts nothing.
type Keys struct {
	derived [][purposes][]byte
}

// NewKeys derives the keys of every purpose from each secret; nil when there is none.
func NewKeys(secrets ...[]byte) *Keys {
	k := &Keys{}
	for _, secret := range secrets {
		if len(secret) == 0 {
			continue
		}
		var keys [purposes][]byte
		for p := range keys {
			keys[p] = mesh.DeriveKey(secret, "http/"+Purpose(p).String(), sha256.Size)
		}
		k.derived = append(k.derived, keys)
	}
	if k.derived == nil {
		return nil
	}
	return k
}

// KeysOf makes one set of keys serve every name: a KeySource for AuthSecret.
func (k *Keys) KeysOf(string) *Keys { return k }

// Sign signs body for name; the zero Signature with nil keys.
func (k *Keys) Sign(p Purpose, name string, boot, sequence uint64, body []byte) Signature {
	s := Signature{Boot: boot, Sequence: sequence}
	if k != nil {
		mac(s.MAC[:0], k.derived[0][p], p, name, s, body)
	}
	return s
}

// Verify reports whether one of the keys made the signature of body for name.
func (k *Keys) Verify(p Purpose, name string, s Signature, body []byte) bool {
	return k != nil && slices.ContainsFunc(k.derived, func(keys [purposes][]byte) bool {
		var want [sha256.Size]byte
		mac(want[:0], keys[p], p, name, s, body)
		return hmac.Equal(want[:], s.MAC[:])
	})
}

// mac writes the code to dst. Everything before the body has a fixed size or ends with a zero byte,
// which no name contains, so no two messages read alike.
func mac(dst, key []byte, p Purpose, name string, s Signature, body []byte) {
	h := hmac.New(sha256.New, key)
	head := append([]byte("netchecker/1/"), p.String()...)
	head = append(append(append(head, 0), name...), 0)
	head = binary.BigEndian.AppendUint64(head, s.Boot)
	head = binary.BigEndian.AppendUint64(head, s.Sequence)
	h.Write(head)
	h.Write(body)
	h.Sum(dst)
}

// Via is the statement of an agent that it relayed a message.
type Via struct {
	Agent     mesh.Key
	Signature Signature
}

// String returns the statement as it stands in a header: "NODE/NETWORK SIGNATURE".
func (v Via) String() string { return v.Agent.String() + " " + v.Signature.String() }

// ParseVia is the inverse of String. It never panics.
func ParseVia(text string) (v Via, err error) {
	agent, signature, _ := strings.Cut(text, " ")
	node, network, _ := strings.Cut(agent, "/")
	if err := mesh.CheckName("relaying node", node); err != nil {
		return v, err
	}
	v.Agent.Node = node
	if v.Agent.Network, err = mesh.ParseNetwork(network); err != nil {
		return v, err
	}
	v.Signature, err = ParseSignature(signature)
	return v, err
}

// SignVia states that agent relays a message. The statement covers the agent's own signature, and
// with it the message, but no boot or sequence: the message's own stop a replay.
func SignVia(k *Keys, agent mesh.Key, inner string, body []byte) Via {
	return Via{agent, k.Sign(ForVia, agent.String(), 0, 0, append([]byte(inner+"\x00"), body...))}
}

// Verify reports whether the statement was made with one of the keys about that message.
func (v Via) Verify(k *Keys, inner string, body []byte) bool {
	return k.Verify(ForVia, v.Agent.String(), v.Signature, append([]byte(inner+"\x00"), body...))
}
