package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"netchecker/mesh"
)

// The values of -auth.
const (
	Kubernetes = "kubernetes"
	Secret     = "secret"
	None       = "none"
)

// Auth settles how agents prove who they are: what -auth says, else secret where a secret file is
// given, else kubernetes where the pod has a token for it, else none.
func Auth(auth, secretFile string, token bool) (string, error) {
	switch {
	case auth != "" && auth != Kubernetes && auth != Secret && auth != None:
		return "", fmt.Errorf("-auth %q: want kubernetes, secret or none", auth)
	case auth == Secret && secretFile == "":
		return "", errors.New("-auth secret: want -secret-file too")
	case auth != "":
		return auth, nil
	case secretFile != "":
		return Secret, nil
	case token:
		return Kubernetes, nil
	}
	return None, nil
}

const (
	// minSecret is the shortest secret taken: 16 bytes cannot be guessed.
	minSecret = 16
	// maxSecretFile bounds what is read of a file of secrets or keys.
	maxSecretFile = 1 << 16
)

func readSmall(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err == nil && len(text) > maxSecretFile {
		err = fmt.Errorf("%q: more than %d bytes", file, maxSecretFile)
	}
	return text, err
}

// ReadSecret reads the secret that servers and agents share: the whole file, but for the space around it.
func ReadSecret(file string) ([]byte, error) {
	secret, err := readSmall(file)
	if err != nil {
		return nil, fmt.Errorf("-secret-file: %w", err)
	}
	if secret = bytes.TrimSpace(secret); len(secret) < minSecret {
		return nil, fmt.Errorf("-secret-file %q: %d bytes, want at least %d", file, len(secret), minSecret)
	}
	return secret, nil
}

// ReadMasters reads the master secrets of -auth kubernetes: one a line, the first for what is new,
// all accepted; blank lines and those that begin with # are skipped.
func ReadMasters(file string) (masters [][]byte, err error) {
	text, err := readSmall(file)
	if err != nil {
		return nil, fmt.Errorf("-secret-file: %w", err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			return nil, fmt.Errorf("-secret-file %q: line %d: not plain text: want one master secret a line, such as openssl rand -base64 32 prints", file, i+1)
		}
		if len(line) < minSecret {
			return nil, fmt.Errorf("-secret-file %q: line %d: master secret of %d bytes, want at least %d", file, i+1, len(line), minSecret)
		}
		masters = append(masters, []byte(line))
	}
	if masters == nil {
		return nil, fmt.Errorf("-secret-file %q: no master secret in it", file)
	}
	return masters, nil
}

// ReadKeyring reads the gossip keyring.
func ReadKeyring(file string) ([][]byte, error) {
	text, err := readSmall(file)
	if err != nil {
		return nil, fmt.Errorf("-gossip-key-file: %w", err)
	}
	ring, err := mesh.ParseKeyring(string(text))
	if err != nil {
		return nil, fmt.Errorf("-gossip-key-file %q: %w", file, err)
	}
	return ring, nil
}

// FollowEvery is how often Follow looks at its file, as gossip does at the keyring. It is read, not
// watched: a mounted Secret changes by swapping a symlink two directories up, and the kubelet takes
// a minute anyway.
const FollowEvery = 10 * time.Second

// Follow reads secrets from a file again and again until ctx ends, and gives them to use whenever
// the file could be read: a rotation needs no restart. A file that cannot be read leaves everything
// as it is, and is said once.
func Follow(ctx context.Context, file string, read func(file string) ([][]byte, error), use func([][]byte), log *slog.Logger) {
	tick := time.NewTicker(FollowEvery)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		secrets, err := read(file)
		if err == nil {
			use(secrets)
			said = ""
		} else if err.Error() != said {
			log.Error("secrets kept as they were", "error", err)
			said = err.Error()
		}
	}
}

// namespaceFile is where the kubelet tells a pod its namespace.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// Accounts returns service accounts as NAMESPACE/NAME. Those without a namespace are of this pod's
// own: MY_POD_NAMESPACE, else what the kubelet tells.
func Accounts(list string, getenv func(string) string) (out []string, err error) {
	own := getenv("MY_POD_NAMESPACE")
	if own == "" {
		if text, err := os.ReadFile(namespaceFile); err == nil {
			own = strings.TrimSpace(string(text))
		}
	}
	for _, item := range SplitList(list) {
		namespace, name, both := strings.Cut(item, "/")
		if !both {
			namespace, name = own, item
		}
		if namespace == "" && !both {
			return nil, fmt.Errorf("-agent-accounts %q: the server's own namespace is not known: set MY_POD_NAMESPACE or give NAMESPACE/NAME", item)
		}
		for what, part := range map[string]string{"namespace": namespace, "name": name} {
			if err := mesh.CheckName(what, part); err != nil {
				return nil, fmt.Errorf("-agent-accounts %q: %w", item, err)
			}
		}
		out = append(out, namespace+"/"+name)
	}
	if out == nil {
		return nil, errors.New("-agent-accounts: want at least one service account")
	}
	return out, nil
}
