package cli

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAuthIsWhatIsAskedForElseWhatIsThere(t *testing.T) {
	for _, c := range []struct {
		auth, file string
		token      bool
		want, err  string
	}{
		{"", "", false, None, ""},
		{"", "", true, Kubernetes, ""},
		{"", "f", true, Secret, ""},
		{"none", "f", true, None, ""},
		{"kubernetes", "f", false, Kubernetes, ""},
		{"secret", "f", true, Secret, ""},
		{"secret", "", true, "", "-secret-file"},
		{"password", "", false, "", `"password": want kubernetes, secret or none`},
	} {
		got, err := Auth(c.auth, c.file, c.token)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("-auth %q -secret-file %q, token %v: %q, %v, want %q, %q", c.auth, c.file, c.token, got, err, c.want, c.err)
		}
	}
}

// write puts text into a file of its own.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSecretFilesThatCannotBeAreOneClearLine(t *testing.T) {
	if got, err := ReadSecret(write(t, " 0123456789abcdef\n")); err != nil || string(got) != "0123456789abcdef" {
		t.Errorf("secret %q, %v", got, err)
	}
	good := "# next\nnext-0123456789abcdef\n\n present-0123456789abcdef \n"
	if got, err := ReadMasters(write(t, good)); err != nil || len(got) != 2 || string(got[1]) != "present-0123456789abcdef" {
		t.Errorf("masters %q, %v", got, err)
	}
	masters := func(file string) error { _, err := ReadMasters(file); return err }
	secret := func(file string) error { _, err := ReadSecret(file); return err }
	keyring := func(file string) error { _, err := ReadKeyring(file); return err }
	for _, c := range []struct {
		name, text, want string
		read             func(string) error
	}{
		{"a short secret", "1234\n", "4 bytes, want at least 16", secret},
		{"an empty file", "", "no master secret", masters},
		{"comments only", "# nothing\n\n", "no master secret", masters},
		{"a short master", "0123456789abcdef0\nshort\n", "line 2: master secret of 5 bytes, want at least 16", masters},
		{"raw bytes", "0123456789abcdef\x00\x01", "line 1: not plain text", masters},
		{"a file without end", strings.Repeat("x", 1<<17), "more than 65536 bytes", masters},
		{"no key", "\n", "no key in it", keyring},
		{"no base64", "?\n", "line 1: not base64", keyring},
	} {
		file := write(t, c.text)
		err := c.read(file)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q and the file", c.name, err, c.want)
		}
		if c.text != "" && err != nil && strings.Contains(err.Error(), "0123456789") {
			t.Errorf("%s: the error tells the secret: %v", c.name, err)
		}
	}
	for name, read := range map[string]func(string) error{"-secret-file": masters, "-gossip-key-file": keyring} {
		if err := read("/nonexistent/file"); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("missing: %v, want one that names %s", err, name)
		}
	}
}

func TestAccountsAreOfTheOwnNamespaceUnlessTheyNameOne(t *testing.T) {
	env := func(name string) string { return map[string]string{"MY_POD_NAMESPACE": "netcheck"}[name] }
	got, err := Accounts("netchecker-agent, other/agent", env)
	if err != nil || strings.Join(got, " ") != "netcheck/netchecker-agent other/agent" {
		t.Errorf("%q, %v", got, err)
	}
	for list, want := range map[string]string{"": "at least one", "a/": "name is empty", "/a": "namespace is empty", "a/b/c": "not allowed"} {
		if _, err := Accounts(list, env); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", list, err, want)
		}
	}
	if _, err := Accounts("agent", func(string) string { return "" }); err == nil || !strings.Contains(err.Error(), "MY_POD_NAMESPACE") {
		t.Errorf("without a namespace: %v", err)
	}
}

// A kubelet puts a new directory beside the old and swaps the link ..data between them.
func TestSecretsAreFollowedThroughAMountedSecret(t *testing.T) {
	dir := t.TempDir()
	mount := func(version, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, version, "master-key"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		os.Symlink(version, filepath.Join(dir, "..tmp"))
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	mount("..1", "first-0123456789abcdef")
	file := filepath.Join(dir, "master-key")
	if err := os.Symlink("..data/master-key", file); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var log bytes.Buffer
		last, ended := "", make(chan struct{})
		go func() {
			defer close(ended)
			Follow(ctx, file, ReadMasters, func(m [][]byte) { last = string(m[0]) }, slog.New(slog.NewTextHandler(&log, nil)))
		}()
		pass := func(want string) {
			t.Helper()
			time.Sleep(3 * FollowEvery)
			synctest.Wait()
			if last != want {
				t.Errorf("uses %q, want %q", last, want)
			}
		}
		pass("first-0123456789abcdef")
		mount("..2", "second-0123456789abcdef")
		pass("second-0123456789abcdef")
		mount("..3", "bad")
		pass("second-0123456789abcdef")
		if got := strings.Count(log.String(), "secrets kept as they were"); got != 1 {
			t.Errorf("said %d times: %s", got, log.String())
		}
		mount("..4", "fourth-0123456789abcdef")
		pass("fourth-0123456789abcdef")
		cancel()
		<-ended
	})
}
