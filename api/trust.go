package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sync/atomic"

	"netchecker/mesh"
)

// Auth says how agents prove who they are.
type Auth string

// The ways of authentication.
const (
	// AuthKubernetes gives each agent a key of its own once it has shown a token of its pod: it proves
	// name, node and network.
	AuthKubernetes Auth = "kubernetes"
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
	// ForEnrol asks a server to enrol an agent, signed with the mesh key; ForServerKey is the server's
	// answer, that this is its public key.
	ForEnrol
	ForServerKey
	purposes = 6
)

// String returns the purpose as it enters the derivation of its key.
func (p Purpose) String() string {
	return [...]string{"row", "report", "relay", "via", "enrol", "server key", "unknown"}[min(p, purposes)]
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

// Keys signs with the first of its secrets and accepts the signatures of all, so that a secret can
// be replaced with no agent refused. Any goroutine may use it. A nil *Keys signs nothing and accepts
// nothing.
type Keys struct {
	derived atomic.Pointer[[]keySet]
}

type keySet [purposes][]byte

// NewKeys derives the keys of every purpose from each secret; nil when there is none.
func NewKeys(secrets ...[]byte) *Keys {
	k := &Keys{}
	if !k.Replace(secrets...) {
		return nil
	}
	return k
}

// Replace makes these the secrets from now on and reports true; without any it leaves the keys as
// they are.
func (k *Keys) Replace(secrets ...[]byte) bool {
	var derived []keySet
	for _, secret := range secrets {
		if len(secret) == 0 {
			continue
		}
		var keys keySet
		for p := range keys {
			keys[p] = mesh.DeriveKey(secret, "http/"+Purpose(p).String(), sha256.Size)
		}
		derived = append(derived, keys)
	}
	if derived == nil {
		return false
	}
	k.derived.Store(&derived)
	return true
}

// KeysOf makes one set of keys serve everybody: a KeySource for AuthSecret.
func (k *Keys) KeysOf(Identity) *Keys { return k }

// Sign signs body for name; the zero Signature with nil keys.
func (k *Keys) Sign(p Purpose, name string, boot, sequence uint64, body []byte) Signature {
	s := Signature{Boot: boot, Sequence: sequence}
	if k != nil {
		mac(s.MAC[:0], (*k.derived.Load())[0][p], p, name, s, body)
	}
	return s
}

// Verify reports whether one of the keys made the signature of body for name.
func (k *Keys) Verify(p Purpose, name string, s Signature, body []byte) bool {
	return k != nil && slices.ContainsFunc(*k.derived.Load(), func(keys keySet) bool {
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
