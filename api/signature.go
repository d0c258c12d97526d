package api

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"netchecker/mesh"
)

// Signature is an HMAC-SHA256 over the purpose, the signer's name, Boot, Sequence and a body. Boot
// and Sequence make every message differ: the receiver refuses one it has seen.
type Signature struct {
	Boot, Sequence uint64
	MAC            [sha256.Size]byte
	// Agent and UID, with AuthKubernetes, are those that the signer's key was made for: the server
	// derives it again from them, so a signature that names others than its key's is wrong.
	Agent mesh.Key
	UID   string
}

// MaxSignature is the longest that a signature's String can be.
const MaxSignature = 3 + 2*21 + 2*sha256.Size + 1 + mesh.MaxName + 5 + 1 + maxUID

// maxUID bounds the uid of a pod: Kubernetes' own have 36 characters.
const maxUID = 64

// String returns the signature as it stands in a header: "v1 BOOT SEQUENCE HEX", and with
// AuthKubernetes also "NODE/NETWORK UID".
func (s Signature) String() string {
	text := fmt.Sprintf("v1 %d %d %s", s.Boot, s.Sequence, hex.EncodeToString(s.MAC[:]))
	if s.UID != "" {
		text += " " + s.Agent.String() + " " + s.UID
	}
	return text
}

// ParseSignature is the inverse of String. It never panics.
func ParseSignature(text string) (s Signature, err error) {
	parts := strings.Split(text, " ")
	if len(parts) != 4 && len(parts) != 6 || parts[0] != "v1" {
		return s, errors.New("signature: want \"v1 BOOT SEQUENCE HEX\" or \"v1 BOOT SEQUENCE HEX NODE/NETWORK UID\"")
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
	if len(parts) == 4 {
		return s, nil
	}
	if s.Agent, err = parseKey(parts[4]); err != nil {
		return s, fmt.Errorf("signature: %w", err)
	}
	s.UID = parts[5]
	return s, checkUID(s.UID)
}

func checkUID(uid string) error {
	if len(uid) > maxUID {
		return fmt.Errorf("pod uid of %d characters, at most %d are allowed", len(uid), maxUID)
	}
	return mesh.CheckName("pod uid", uid)
}

// parseKey is the inverse of mesh.Key's String.
func parseKey(text string) (k mesh.Key, err error) {
	node, network, _ := strings.Cut(text, "/")
	if err := mesh.CheckName("node", node); err != nil {
		return k, err
	}
	k.Node = node
	k.Network, err = mesh.ParseNetwork(network)
	return k, err
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
	if v.Agent, err = parseKey(agent); err != nil {
		return v, fmt.Errorf("relaying agent: %w", err)
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
