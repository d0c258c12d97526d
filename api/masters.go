package api

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync/atomic"

	"netchecker/mesh"
)

// Identity says for whom a key is: an agent's pod by its name, where it runs, and its uid, which
// tells it from the pods that had the name before.
type Identity struct {
	Name  string
	Agent mesh.Key
	UID   string
}

// Masters are the secrets that the servers of AuthKubernetes share. Everything is derived from
// them, nothing is stored: the key of every agent, so that a known agent needs no API server, and
// the key pair to which agents seal their tokens, so that any server opens what was sealed for
// another. The first serves for what is new, all are accepted. Any goroutine may use it.
type Masters struct {
	set atomic.Pointer[[]master]
}

type master struct {
	secret  []byte
	tickets []byte
	private hpke.PrivateKey
}

// NewMasters returns the masters; at least one is needed.
func NewMasters(secrets ...[]byte) (*Masters, error) {
	m := &Masters{}
	return m, m.Replace(secrets...)
}

// Replace makes these the masters from now on: for a rotation first the next behind the present
// one at every server, then before it, then alone once every agent has enrolled with it.
func (m *Masters) Replace(secrets ...[]byte) error {
	if len(secrets) == 0 {
		return errors.New("no master secret")
	}
	var set []master
	for _, secret := range secrets {
		private, err := enrolKEM().DeriveKeyPair(mesh.DeriveKey(secret, "server key pair", 32))
		if err != nil {
			return fmt.Errorf("server's key pair: %w", err)
		}
		set = append(set, master{secret, mesh.DeriveKey(secret, "enrol ticket", sha256.Size), private})
	}
	m.set.Store(&set)
	return nil
}

// KeysOf implements KeySource: the keys that each of the masters makes for the agent.
func (m *Masters) KeysOf(id Identity) *Keys {
	if id.UID == "" {
		return nil
	}
	set := *m.set.Load()
	secrets := make([][]byte, len(set))
	for i := range set {
		secrets[i] = set[i].secretOf(id)
	}
	return NewKeys(secrets...)
}

// secretOf is what an agent gets. No name contains the slashes between the parts.
func (m *master) secretOf(id Identity) []byte {
	return mesh.DeriveKey(m.secret, "agent/"+id.Name+"/"+id.Agent.String()+"/"+id.UID, sha256.Size)
}

// enrolKEM, enrolKDF and enrolAEAD are the suite with which tokens are sealed (RFC 9180).
func enrolKEM() hpke.KEM   { return hpke.DHKEM(ecdh.X25519()) }
func enrolKDF() hpke.KDF   { return hpke.HKDFSHA256() }
func enrolAEAD() hpke.AEAD { return hpke.ChaCha20Poly1305() }

// encapsulated is the size of an encapsulated key of enrolKEM, and of its public keys.
const encapsulated = 32
