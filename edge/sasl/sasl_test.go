package sasl

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/xdg-go/scram"

	"sluice/base/config"
	"sluice/broker/auth"
)

func server(t *testing.T) *Server {
	t.Helper()
	name := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(name, []byte("# people\nalice = se=cret\n\nbob=b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	users, err := LoadUsers(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := auth.ScramSHA512.FromPassword("of-the-cluster", []byte("salt"), auth.MinIterations)
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{
		Mechanisms: []string{config.Plain, config.ScramSHA256, config.ScramSHA512}, Users: users,
		Credential: func(user string, m auth.Mechanism) (auth.Credential, bool) {
			return stored, user == "carol" && m == auth.ScramSHA512
		},
	})
}

func TestPlain(t *testing.T) {
	s := server(t)
	for message, want := range map[string]auth.Principal{
		"\x00alice\x00se=cret": "User:alice", "alice\x00alice\x00se=cret": "User:alice", "bob\x00alice\x00se=cret": "", "\x00alice\x00wrong": "",
		"\x00nobody\x00x": "", "\x00\x00x": "", "\x00alice\x00": "", "": "", "\x00a\x00b\x00c": "", "\x00carol\x00of-the-cluster": "",
	} {
		c, _ := s.Begin(config.Plain)
		_, login, err := c.Step(context.Background(), []byte(message))
		if got := login; (got != nil) != (want != "") || got != nil && got.Principal != want || (err == nil) != (want != "") {
			t.Errorf("%q: %+v, %v; want %q", message, login, err, want)
		}
	}
}

// logIn has a client of the library log in by SCRAM.
func logIn(t *testing.T, s *Server, mechanism, user, password string) (*Login, error) {
	t.Helper()
	hash := scram.SHA256
	if mechanism == config.ScramSHA512 {
		hash = scram.SHA512
	}
	client, err := hash.NewClient(user, password, "")
	if err != nil {
		t.Fatal(err)
	}
	conv := client.NewConversation()
	c, ok := s.Begin(mechanism)
	if !ok {
		t.Fatal("not offered")
	}
	answer := ""
	for {
		text, err := conv.Step(answer)
		if err != nil {
			t.Fatal(err)
		}
		out, login, err := c.Step(context.Background(), []byte(text))
		if err != nil {
			return nil, err
		}
		if login != nil {
			if _, err := conv.Step(string(out)); err != nil || !conv.Valid() {
				t.Fatalf("the client does not believe the server: %v", err)
			}
			return login, nil
		}
		answer = string(out)
	}
}

func TestScram(t *testing.T) {
	s := server(t)
	for _, tc := range []struct {
		mechanism, user, password string
		ok                        bool
	}{
		{config.ScramSHA256, "alice", "se=cret", true},
		{config.ScramSHA512, "alice", "se=cret", true},
		{config.ScramSHA512, "carol", "of-the-cluster", true},
		{config.ScramSHA256, "carol", "of-the-cluster", false},
		{config.ScramSHA512, "carol", "wrong", false},
		{config.ScramSHA512, "nobody", "x", false},
	} {
		login, err := logIn(t, s, tc.mechanism, tc.user, tc.password)
		var r *Refused
		if tc.ok != (login != nil) || !tc.ok && !errors.As(err, &r) || tc.ok && login.Principal != auth.User(tc.user) {
			t.Errorf("%+v: %+v, %v", tc, login, err)
		}
	}
	wrong, unknown := "", ""
	if _, err := logIn(t, s, config.ScramSHA512, "carol", "wrong"); err != nil {
		wrong = err.Error()
	}
	if _, err := logIn(t, s, config.ScramSHA512, "nobody", "wrong"); err != nil {
		unknown = err.Error()
	}
	if wrong == "" || wrong != unknown {
		t.Errorf("a wrong password is refused with %q, an unknown user with %q", wrong, unknown)
	}
}

func TestUsersAreReadAgain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "users")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a = 1")
	u, err := LoadUsers(name, nil)
	if err != nil || !u.Check("a", "1") || u.Check("a", "2") {
		t.Fatal(err)
	}
	write("a = 22")
	if u.Check("a", "1") || !u.Check("a", "22") {
		t.Error("the new password does not count")
	}
	write("broken")
	if !u.Check("a", "22") {
		t.Error("a file that cannot be read took the users away")
	}
}

func TestBearer(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	set, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	name := filepath.Join(t.TempDir(), "jwks")
	if err := os.WriteFile(name, set, 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	good := fmt.Sprintf(`{"sub":"alice","iss":"me","aud":["x","kafka"],"exp":%d}`, now.Add(time.Hour).Unix())
	sign := func(k *ecdsa.PrivateKey, claims string) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: k, KeyID: "k"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		o, _ := s.Sign([]byte(claims))
		text, _ := o.CompactSerialize()
		return text
	}
	enc := base64.RawURLEncoding.EncodeToString
	none := enc([]byte(`{"alg":"none"}`)) + "." + enc([]byte(good)) + "."
	b := NewBearer(BearerOptions{JWKS: "file://" + name, Issuer: "me", Audiences: []string{"kafka"}})
	for _, tc := range []struct {
		name, token string
		ok          bool
	}{
		{"good", sign(key, good), true},
		{"another key", sign(other, good), false},
		{"expired", sign(key, strings.Replace(good, fmt.Sprint(now.Add(time.Hour).Unix()), fmt.Sprint(now.Add(-time.Hour).Unix()), 1)), false},
		{"issuer", sign(key, strings.Replace(good, `"me"`, `"you"`, 1)), false},
		{"audience", sign(key, strings.Replace(good, "kafka", "other", 1)), false},
		{"no subject", sign(key, strings.Replace(good, "alice", "", 1)), false},
		{"no expiry", sign(key, `{"sub":"alice","iss":"me","aud":"kafka"}`), false},
		{"unsigned", none, false},
		{"nonsense", "a.b.c", false},
	} {
		c := &bearer{checker: b}
		out, login, err := c.Step(context.Background(), []byte("n,,\x01auth=Bearer "+tc.token+"\x01\x01"))
		if err != nil || tc.ok != (login != nil) || tc.ok && login.Principal != "User:alice" {
			t.Errorf("%s: %q, %+v, %v", tc.name, out, login, err)
		}
		if _, login, err := c.Step(context.Background(), []byte{1}); !tc.ok && (login != nil || err == nil) {
			t.Errorf("%s: the second step let the client in", tc.name)
		}
	}
	if c, err := NewBearer(BearerOptions{Unsecured: true}).check(context.Background(), none); err != nil || c.name != "alice" {
		t.Errorf("an unsigned token where the setting allows it: %+v, %v", c, err)
	}
}

func FuzzConversations(f *testing.F) {
	f.Add([]byte("\x00alice\x00secret"), []byte("x"))
	f.Add([]byte("n,,n=alice,r=abc,tokenauth=true"), []byte("c=biws,r=abc,p=YQ=="))
	f.Add([]byte("n,a=b,\x01auth=Bearer a.b.c\x01\x01"), []byte{1})
	s := New(Options{
		Mechanisms: []string{config.Plain, config.ScramSHA256, config.OAuthBearer}, Bearer: NewBearer(BearerOptions{Unsecured: false}),
		Credential: func(string, auth.Mechanism) (auth.Credential, bool) {
			return auth.Credential{Salt: []byte("s"), Iterations: 4096, StoredKey: make([]byte, 32), ServerKey: make([]byte, 32)}, true
		},
	})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		for _, m := range s.Mechanisms() {
			c, _ := s.Begin(m)
			if _, login, err := c.Step(context.Background(), first); login != nil {
				t.Fatal("somebody got in")
			} else if err == nil {
				if _, login, _ := c.Step(context.Background(), second); login != nil {
					t.Fatal("somebody got in")
				}
			}
		}
	})
}
