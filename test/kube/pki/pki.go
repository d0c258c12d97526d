// Package pki makes the keys, certificates and kubeconfig files of one cluster in a folder.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime is enough for any test.
const lifetime = 7 * 24 * time.Hour

// Folder holds ca.crt and ca.key, sa.key and sa.pub (of service account tokens), and NAME.crt,
// NAME.key and NAME.kubeconfig of what was issued.
type Folder struct {
	Dir string

	ca    *x509.Certificate
	caKey *ecdsa.PrivateKey
}

// Subject is whom a certificate is for.
type Subject struct {
	Name   string   // common name: the user, for Kubernetes
	Groups []string // organizations: the user's groups
	Hosts  []string // names and addresses; none for a client
}

// New makes the folder with an authority of its own.
func New(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := newTemplate(Subject{Name: "kubernetes-ca"})
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("certificate of the authority: %w", err)
	}
	f := &Folder{Dir: dir, caKey: key}
	if f.ca, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	if err := f.write("ca", der, key); err != nil {
		return nil, err
	}
	return f, f.serviceAccounts()
}

// Path returns the path of a file in the folder, for instance "ca.crt".
func (f *Folder) Path(file string) string { return filepath.Join(f.Dir, file) }

// Issue makes a key and a certificate for both ends of TLS.
func (f *Folder) Issue(name string, s Subject) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := newTemplate(s)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(s.Hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, f.ca, key.Public(), f.caKey)
	if err != nil {
		return fmt.Errorf("certificate of %s: %w", name, err)
	}
	return f.write(name, der, key)
}

func newTemplate(s Subject) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // never fails since Go 1.24
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: s.Name, Organization: s.Groups},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(lifetime),
	}
	for _, host := range s.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, host)
		}
	}
	return t
}

// serviceAccounts makes the key pair that signs and checks tokens; the API server wants RSA or ECDSA.
func (f *Folder) serviceAccounts() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := f.writePEM("sa.pub", "PUBLIC KEY", public); err != nil {
		return err
	}
	return f.writeKey("sa.key", key)
}

func (f *Folder) write(name string, der []byte, key crypto.PrivateKey) error {
	if err := f.writePEM(name+".crt", "CERTIFICATE", der); err != nil {
		return err
	}
	return f.writeKey(name+".key", key)
}

func (f *Folder) writeKey(file string, key crypto.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return f.writePEM(file, "PRIVATE KEY", der)
}

func (f *Folder) writePEM(file, kind string, der []byte) error {
	return os.WriteFile(f.Path(file), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
