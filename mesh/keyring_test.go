package mesh

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

func keyLine(c byte, size int) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{c}, size))
}

func TestParseKeyring(t *testing.T) {
	a, b, c := keyLine('a', 16), keyLine('b', 24), keyLine('c', 32)
	keys, err := ParseKeyring("# the next one first\r\n\n  " + c + "  \r\n" + b + "\n\t# old\n" + a)
	if err != nil || len(keys) != 3 || keys[0][0] != 'c' || len(keys[1]) != 24 || keys[2][0] != 'a' {
		t.Errorf("%q, %v", keys, err)
	}
	for text, want := range map[string]string{
		"":                                 "no key",
		"# nothing\n\n":                    "no key",
		a + "\nnot base64!":                "line 2: not base64",
		"\n" + keyLine('x', 15):            "line 2: key of 15 bytes",
		a + " " + b:                        "line 1: not base64",
		"#\n" + strings.Repeat("A", 1<<17): "keyring",
	} {
		if _, err := ParseKeyring(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		} else if strings.Contains(err.Error(), "not base64!") {
			t.Errorf("the error tells the line: %v", err)
		}
	}
}

// HKDF-SHA256 without salt of "one secret" for "netchecker/1/probe", computed elsewhere.
const goldenProbeKey = "6c074f375950c508218c5230e4dc70bc"

func TestDeriveKey(t *testing.T) {
	secret := []byte("one secret")
	probe, report := DeriveKey(secret, "probe", 16), DeriveKey(secret, "report", 16)
	if len(probe) != 16 || bytes.Equal(probe, report) || !bytes.Equal(probe, DeriveKey(secret, "probe", 16)) {
		t.Errorf("probe %x, report %x", probe, report)
	}
	if bytes.Equal(probe, DeriveKey([]byte("another"), "probe", 16)) {
		t.Error("another secret, the same key")
	}
	// Agents of different versions must derive alike.
	if got := hex.EncodeToString(probe); got != goldenProbeKey {
		t.Errorf("probe key %s, want %s", got, goldenProbeKey)
	}
}

func FuzzParseKeyring(f *testing.F) {
	f.Add(keyLine('a', 16) + "\n#\n" + keyLine('b', 32))
	f.Add("=")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := ParseKeyring(text)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
	})
}
