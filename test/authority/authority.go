// Package authority signs the certificates and tokens that tests of TLS and of logins need: those of brokers and clients on this machine, files in a
// folder of the test, and an endpoint that gives tokens.
package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates and tokens of a test.
type Authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	Dir  string // where its files are
}

// New makes one, with its certificate in ca.pem of a directory of the test.
func New(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, Dir: t.TempDir()}
	a.cert, a.key = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.write("ca.pem", &pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	return a
}

// sign makes a certificate; the first one signs itself.
func (a *Authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// Issue writes a file with the key and the certificate of a name, for servers on this machine and for clients.
func (a *Authority) Issue(file, name string) string {
	a.t.Helper()
	cert, key := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(file, &pem.Block{Type: "PRIVATE KEY", Bytes: private}, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

func (a *Authority) write(file string, blocks ...*pem.Block) string {
	a.t.Helper()
	var text []byte
	for _, b := range blocks {
		text = append(text, pem.EncodeToMemory(b)...)
	}
	return a.WriteText(file, text)
}

// WriteText writes a file into its folder and returns its path.
func (a *Authority) WriteText(file string, text []byte) string {
	a.t.Helper()
	file = filepath.Join(a.Dir, file)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		a.t.Fatal(err)
	}
	return file
}

// JWKS writes the key that signs tokens, as a JSON web key set.
func (a *Authority) JWKS() string {
	a.t.Helper()
	point, err := a.key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		a.t.Fatal(err)
	}
	coordinate := base64.RawURLEncoding.EncodeToString
	key := map[string]string{"kty": "EC", "crv": "P-256", "kid": "k", "use": "sig", "alg": "ES256", "x": coordinate(point[1:33]), "y": coordinate(point[33:])}
	text, err := json.Marshal(map[string]any{"keys": []any{key}})
	if err != nil {
		a.t.Fatal(err)
	}
	return "file://" + a.WriteText("jwks.json", text)
}

// Token returns a signed token for a name, of the issuer test for the audience sluice.
func (a *Authority) Token(name string, lasting time.Duration) (string, error) {
	from := time.Now().Add(min(0, lasting-time.Minute)) // one that has ended was issued before
	claims := fmt.Sprintf(`{"sub":%q,"iss":"test","aud":"sluice","iat":%d,"exp":%d}`, name, from.Unix(), time.Now().Add(lasting).Unix())
	part := base64.RawURLEncoding.EncodeToString
	signed := part([]byte(`{"alg":"ES256","kid":"k","typ":"JWT"}`)) + "." + part([]byte(claims))
	hash := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, a.key, hash[:])
	if err != nil {
		return "", err
	}
	return signed + "." + part(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)), nil
}

// TokenEndpoint gives tokens to clients that know the secret of-NAME, by the grant of client credentials.
func (a *Authority) TokenEndpoint() string {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, secret, ok := r.BasicAuth()
		if !ok || secret != "of-"+name || r.FormValue("grant_type") != "client_credentials" {
			http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
			return
		}
		token, err := a.Token(name, time.Hour)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 3600})
	}))
	a.t.Cleanup(srv.Close)
	return srv.URL + "/token"
}
