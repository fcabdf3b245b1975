package sasl

import (
	"crypto/rand"
	"sync"
	"time"

	"sluice/broker/auth"
)

// tokensKept is how many derived keys of delegation tokens are kept; when there are more, all are forgotten and derived again as they are used.
const tokensKept = 4096

// Tokens makes what SCRAM checks delegation tokens with. It is safe for concurrent use.
type Tokens struct {
	secret string
	find   func(id string) (auth.TokenInfo, bool)
	now    func() time.Time

	mu struct {
		sync.Mutex
		derived map[derivedKey]auth.Credential // by token id, as clients log in
	}
}

// NewTokens returns the tokens that find knows, with keys made of a secret.
func NewTokens(secret string, find func(id string) (auth.TokenInfo, bool)) *Tokens {
	t := &Tokens{secret: secret, find: find, now: time.Now}
	t.mu.derived = map[derivedKey]auth.Credential{}
	return t
}

// Credential returns what SCRAM checks a token with that has not expired, and whose it is. The first time it takes milliseconds.
func (t *Tokens) Credential(id string, m auth.Mechanism) (auth.Credential, Token, bool) {
	info, ok := t.find(id)
	if !ok || info.Expired(t.now()) {
		return auth.Credential{}, Token{}, false
	}
	_, name := info.Owner.Cut()
	token := Token{Owner: auth.User(name), Expires: info.Expires}
	t.mu.Lock()
	c, ok := t.mu.derived[derivedKey{id, m}]
	t.mu.Unlock()
	if ok {
		return c, token, true
	}
	salt := make([]byte, 20)
	rand.Read(salt)
	c, err := m.FromPassword(auth.TokenPassword(t.secret, id), salt, auth.MinIterations)
	if err != nil {
		return c, token, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.mu.derived) >= tokensKept {
		clear(t.mu.derived)
	}
	t.mu.derived[derivedKey{id, m}] = c
	return c, token, true
}
