package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/crypto/bcrypt"

	"github.com/regsync/regsync/e2e/tokenserver"
)

// User is who the registries know.
type User struct{ Name, Password string }

// Materials are the keys, certificates and passwords of one run, as files in a folder:
// ca.pem, cert.pem, key.pem, htpasswd, jwks.json and tokenserver.json.
type Materials struct {
	Dir string
	// Owner may push everywhere.
	Owner User
	// Guest may pull everywhere, and push below guest/ where there are tokens.
	Guest User
	// Tokens is the configuration of the token server.
	Tokens tokenserver.Config
}

// NewMaterials makes them in a folder that exists.
func NewMaterials(dir string) (*Materials, error) {
	m := &Materials{
		Dir:   dir,
		Owner: User{"owner", rand.Text()},
		Guest: User{"guest", rand.Text()},
	}
	if err := m.writeCertificates(); err != nil {
		return nil, err
	}
	if err := m.writePasswords(); err != nil {
		return nil, err
	}
	if err := m.writeTokenKeys(); err != nil {
		return nil, err
	}
	return m, nil
}

// CA is the file of the authority that signed the registry's certificate.
func (m *Materials) CA() string { return filepath.Join(m.Dir, "ca.pem") }

func (m *Materials) writeCertificates() error {
	now := time.Now()
	authority := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "regsync e2e authority"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "regsync e2e registry"},
		NotBefore:    authority.NotBefore,
		NotAfter:     authority.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		return err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, authority, leafKey.Public(), authorityKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem":   {Type: "CERTIFICATE", Bytes: authorityDER},
		"cert.pem": {Type: "CERTIFICATE", Bytes: leafDER},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := m.write(name, pem.EncodeToMemory(block)); err != nil {
			return err
		}
	}
	return nil
}

func (m *Materials) writePasswords() error {
	var lines []byte
	for _, user := range []User{m.Owner, m.Guest} {
		hash, err := bcrypt.GenerateFromPassword([]byte(user.Password), bcrypt.MinCost)
		if err != nil {
			return err
		}
		lines = append(lines, user.Name+":"+string(hash)+"\n"...)
	}
	return m.write("htpasswd", lines)
}

func (m *Materials) writeTokenKeys() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	signing := jose.JSONWebKey{Key: key, KeyID: "e2e", Algorithm: string(jose.ES256), Use: "sig"}
	m.Tokens = tokenserver.Config{
		Issuer:   "regsync-e2e",
		Service:  "e2e",
		Lifetime: 300,
		Key:      signing,
		Users: map[string]tokenserver.User{
			m.Owner.Name: {Password: m.Owner.Password, Push: []string{""}},
			m.Guest.Name: {Password: m.Guest.Password, Push: []string{"guest/"}},
		},
	}
	public, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{signing.Public()}})
	if err != nil {
		return err
	}
	if err := m.write("jwks.json", public); err != nil {
		return err
	}
	config, err := json.Marshal(m.Tokens)
	if err != nil {
		return err
	}
	return m.write("tokenserver.json", config)
}

func (m *Materials) write(name string, content []byte) error {
	return os.WriteFile(filepath.Join(m.Dir, name), content, 0o600)
}
