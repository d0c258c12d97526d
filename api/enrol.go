package api

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"netchecker/mesh"
)

// TokenAudience is the audience of the tokens that agents show: one made for another is refused.
const TokenAudience = "netchecker"

// MaxEnrol is the most bytes of a request to enrol: a token has one to four thousand.
const MaxEnrol = 16 << 10

// EnrolRequest is the body of POST /api/v1/agents/{name}/enrol, signed with the mesh key. An agent
// asks twice: with a Challenge for the server's public key and a ticket, then with its claim,
// Sealed to that key. A relay that carries them learns nothing.
type EnrolRequest struct {
	// Challenge is 32 bytes never used before: the server signs them together with its key, so that
	// nobody can show an old one.
	Challenge []byte `json:"challenge,omitempty"`
	Ticket    []byte `json:"ticket,omitempty"`
	Sealed    []byte `json:"sealed,omitempty"`
}

// EnrolAnswer answers a challenge with Key, Ticket and Proof, a claim with Sealed.
type EnrolAnswer struct {
	// Key is the server's public key (X25519), to which claims are sealed.
	Key []byte `json:"key,omitempty"`
	// Ticket goes back with the claim. It is good once and for a minute.
	Ticket []byte `json:"ticket,omitempty"`
	// Proof is the server's signature of challenge, key and ticket with the mesh key: without it who
	// stands between could show a key of his own, and would be shown the token.
	Proof string `json:"proof,omitempty"`
	// Sealed is the EnrolGrant, which only who sealed the claim can open.
	Sealed []byte `json:"sealed,omitempty"`
}

// EnrolClaim is what an agent says of itself. The server believes what the token's review confirms.
type EnrolClaim struct {
	Token   string `json:"token"`
	Node    string `json:"node"`
	Network string `json:"network"`
}

// EnrolGrant is what the agent gets: the secret from which it derives its Keys, and the uid that
// stands in its signatures.
type EnrolGrant struct {
	UID    string `json:"uid"`
	Secret []byte `json:"secret"`
}

const (
	challengeSize = 32
	ticketSize    = 8 + 8 + 16
)

// NewChallenge returns a request for the server's key.
func NewChallenge() *EnrolRequest {
	r := &EnrolRequest{Challenge: make([]byte, challengeSize)}
	rand.Read(r.Challenge) // never fails
	return r
}

// proofOf is what the server signs; every part has its fixed size.
func proofOf(challenge []byte, a *EnrolAnswer) []byte {
	return append(append(append([]byte{}, challenge...), a.Key...), a.Ticket...)
}

// CheckServerKey returns nil when a server of the mesh answered just this challenge of the agent.
func CheckServerKey(k *Keys, name string, r *EnrolRequest, a *EnrolAnswer) error {
	if len(a.Key) != encapsulated || len(a.Ticket) != ticketSize {
		return fmt.Errorf("server's key: %d bytes and a ticket of %d, want %d and %d", len(a.Key), len(a.Ticket), encapsulated, ticketSize)
	}
	proof, err := ParseSignature(a.Proof)
	if err != nil {
		return fmt.Errorf("server's key: %w", err)
	}
	if !k.Verify(ForServerKey, name, proof, proofOf(r.Challenge, a)) {
		return errors.New("server's key: not signed with a key of this mesh: another gossip keyring, or somebody stands between")
	}
	return nil
}

// enrolInfo binds what is sealed to its purpose, the agent's name and one ticket.
func enrolInfo(name string, ticket []byte) []byte {
	return append([]byte("netchecker/1/enrol\x00"+name+"\x00"), ticket...)
}

// grantContext names the key, exported from the claim's, that seals the grant.
const grantContext = "netchecker/1/grant"

// SealClaim seals the agent's claim to the key of the server's answer and returns the request to
// send, and the function that opens the grant in the answer to it. The errors never hold the token.
func SealClaim(name string, a *EnrolAnswer, claim EnrolClaim) (*EnrolRequest, func(*EnrolAnswer) (*EnrolGrant, error), error) {
	key, err := enrolKEM().NewPublicKey(a.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("server's key: %w", err)
	}
	enc, sender, err := hpke.NewSender(key, enrolKDF(), enrolAEAD(), enrolInfo(name, a.Ticket))
	if err != nil {
		return nil, nil, fmt.Errorf("server's key: %w", err)
	}
	text, err := json.Marshal(claim)
	if err != nil {
		return nil, nil, err
	}
	sealed, err := sender.Seal(nil, text)
	if err != nil {
		return nil, nil, err
	}
	return &EnrolRequest{Ticket: a.Ticket, Sealed: append(enc, sealed...)}, func(a *EnrolAnswer) (*EnrolGrant, error) {
		return openGrant(sender, a.Sealed)
	}, nil
}

// exporter is a sender or recipient of HPKE: both ends can derive further keys.
type exporter interface {
	Export(context string, length int) ([]byte, error)
}

func grantAEAD(e exporter) (cipher.AEAD, error) {
	key, err := e.Export(grantContext, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func openGrant(e exporter, sealed []byte) (*EnrolGrant, error) {
	aead, err := grantAEAD(e)
	if err != nil {
		return nil, err
	}
	text, err := aead.Open(nil, nil, sealed, nil)
	if err != nil {
		return nil, errors.New("grant: sealed for another, or altered")
	}
	g := &EnrolGrant{}
	if err := json.Unmarshal(text, g); err != nil {
		return nil, fmt.Errorf("grant: %w", err)
	}
	if len(g.Secret) != sha256.Size {
		return nil, fmt.Errorf("grant: secret of %d bytes, want %d", len(g.Secret), sha256.Size)
	}
	return g, checkUID(g.UID)
}

// openClaim opens what an agent sealed under name to one of the masters, and returns with the claim
// the function that seals its grant. It never panics.
func (m *Masters) openClaim(name string, r *EnrolRequest) (*EnrolClaim, func(Identity) ([]byte, error), error) {
	if len(r.Sealed) <= encapsulated {
		return nil, nil, fmt.Errorf("claim of %d bytes: cut short", len(r.Sealed))
	}
	set := *m.set.Load()
	for i := range set {
		to, err := hpke.NewRecipient(r.Sealed[:encapsulated], set[i].private, enrolKDF(), enrolAEAD(), enrolInfo(name, r.Ticket))
		if err != nil {
			return nil, nil, errors.New("claim: not sealed to a public key")
		}
		text, err := to.Open(nil, r.Sealed[encapsulated:])
		if err != nil {
			continue
		}
		claim := &EnrolClaim{}
		if json.Unmarshal(text, claim) != nil { // its error would quote the claim
			return nil, nil, errors.New("claim: not JSON of token, node and network")
		}
		return claim, func(id Identity) ([]byte, error) { return sealGrant(to, EnrolGrant{id.UID, set[0].secretOf(id)}) }, nil
	}
	return nil, nil, errors.New("claim: sealed to a key that is none of this server's, or altered")
}

func sealGrant(e exporter, g EnrolGrant) ([]byte, error) {
	aead, err := grantAEAD(e)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(g)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, text, nil), nil
}

// identity returns the claim's identity under the name, its uid still to be learnt.
func (c *EnrolClaim) identity(name string) (Identity, error) {
	if err := mesh.CheckName("node", c.Node); err != nil {
		return Identity{}, err
	}
	network, err := mesh.ParseNetwork(c.Network)
	return Identity{Name: name, Agent: mesh.Key{Node: c.Node, Network: network}}, err
}
