package mesh

import (
	"bufio"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// ParseKeyring reads a gossip keyring: one base64 key of 16, 24 or 32 bytes a line, the first of
// them used for sending and all for receiving; blank lines and lines beginning with # are skipped.
func ParseKeyring(text string) ([][]byte, error) {
	var keys [][]byte
	scan := bufio.NewScanner(strings.NewReader(text))
	for n := 1; scan.Scan(); n++ {
		line := strings.TrimSpace(scan.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		key, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			return nil, fmt.Errorf("keyring line %d: not base64", n)
		}
		if len(key) != 16 && len(key) != 24 && len(key) != 32 {
			return nil, fmt.Errorf("keyring line %d: key of %d bytes, want 16, 24 or 32", n, len(key))
		}
		keys = append(keys, key)
	}
	if err := scan.Err(); err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("keyring: no key in it")
	}
	return keys, nil
}

// DeriveKey returns size bytes for one purpose from a secret (HKDF-SHA256, RFC 5869), so that the
// key of one use never stands in another.
func DeriveKey(secret []byte, purpose string, size int) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, "netchecker/1/"+purpose, size)
	if err != nil {
		panic(err) // only sizes above 255 hashes fail, and ours are constants
	}
	return key
}
