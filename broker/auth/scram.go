package auth

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"sluice/cluster/meta"
)

// Mechanism is a SCRAM mechanism, in Kafka's numbers.
type Mechanism int8

// SCRAM mechanisms.
const (
	ScramSHA256 Mechanism = 1
	ScramSHA512 Mechanism = 2
)

// Bounds of the iterations of a credential, as in Kafka.
const (
	MinIterations = 4096
	MaxIterations = 16384
)

// saltMax is the longest salt, in bytes.
const saltMax = 1024

func (m Mechanism) String() string {
	switch m {
	case ScramSHA256:
		return "SCRAM-SHA-256"
	case ScramSHA512:
		return "SCRAM-SHA-512"
	}
	return fmt.Sprintf("mechanism(%d)", int8(m))
}

// Valid reports whether there is such a mechanism.
func (m Mechanism) Valid() bool { return m == ScramSHA256 || m == ScramSHA512 }

func (m Mechanism) hash() func() hash.Hash {
	if m == ScramSHA512 {
		return sha512.New
	}
	return sha256.New
}

// Credential is what a server knows of a SCRAM user: enough to check a password, not enough to log in.
type Credential struct {
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

// String shows no secret.
func (c Credential) String() string {
	return fmt.Sprintf("SCRAM credential, %d iterations", c.Iterations)
}

// FromSalted makes a credential of a salted password, as clients send it to change one.
func (m Mechanism) FromSalted(salted, salt []byte, iterations int) Credential {
	clientKey := m.mac(salted, "Client Key")
	stored := m.hash()()
	stored.Write(clientKey)
	return Credential{Salt: salt, Iterations: iterations, StoredKey: stored.Sum(nil), ServerKey: m.mac(salted, "Server Key")}
}

// FromPassword makes a credential of a password. It takes milliseconds.
func (m Mechanism) FromPassword(password string, salt []byte, iterations int) (Credential, error) {
	salted, err := pbkdf2.Key(m.hash(), password, salt, iterations, m.hash()().Size())
	if err != nil {
		return Credential{}, err
	}
	return m.FromSalted(salted, salt, iterations), nil
}

func (m Mechanism) mac(key []byte, text string) []byte {
	h := hmac.New(m.hash(), key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// Credentials are kept as configurations of kind meta.ScramConfig: the name is the user's, a key the name of a mechanism, and the value what
// Encode returns.

// Encode returns the credential as it is kept.
func (c Credential) Encode() string {
	b := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("salt=%s,stored_key=%s,server_key=%s,iterations=%d", b(c.Salt), b(c.StoredKey), b(c.ServerKey), c.Iterations)
}

// ParseCredential is the inverse of Encode. The error shows nothing of the text.
func ParseCredential(text string) (c Credential, err error) {
	for field := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(field, "=")
		var into *[]byte
		switch name {
		case "salt":
			into = &c.Salt
		case "stored_key":
			into = &c.StoredKey
		case "server_key":
			into = &c.ServerKey
		case "iterations":
			if c.Iterations, err = strconv.Atoi(value); err != nil {
				return Credential{}, fmt.Errorf("iterations are no number")
			}
			continue
		default:
			return Credential{}, fmt.Errorf("unknown field")
		}
		if *into, err = base64.StdEncoding.DecodeString(value); err != nil {
			return Credential{}, fmt.Errorf("%s is no base64", name)
		}
	}
	if len(c.Salt) == 0 || len(c.StoredKey) == 0 || len(c.ServerKey) == 0 || c.Iterations < 1 {
		return Credential{}, fmt.Errorf("a field is missing")
	}
	return c, nil
}

// CheckCredential says what is wrong with a salt, what was made of it and a password, and a number of iterations; nil if nothing is.
func CheckCredential(salt, salted []byte, iterations int) error {
	switch {
	case iterations < MinIterations:
		return fmt.Errorf("Too few iterations")
	case iterations > MaxIterations:
		return fmt.Errorf("Too many iterations")
	case len(salt) == 0 || len(salt) > saltMax:
		return fmt.Errorf("The salt is empty or too long")
	case len(salted) == 0:
		return fmt.Errorf("The salted password is empty")
	}
	return nil
}

// StoredCredential returns the credential of a user in an image.
func StoredCredential(img *meta.Image, user string, m Mechanism) (Credential, bool) {
	text, ok := img.Configs(meta.ScramConfig, user)[m.String()]
	if !ok {
		return Credential{}, false
	}
	c, err := ParseCredential(text)
	return c, err == nil
}
