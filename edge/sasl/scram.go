package sasl

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/xdg-go/scram"

	"sluice/broker/auth"
)

// scramConversation is a conversation of SCRAM. A client that logs in with a delegation token says tokenauth=true behind its first message, and
// its user is the token's id.
type scramConversation struct {
	s         *Server
	mechanism auth.Mechanism
	conv      *scram.ServerConversation
	began     bool
	byToken   bool
	token     Token
}

var errUnknownUser = errors.New("unknown user")

func newScram(s *Server, m auth.Mechanism) *scramConversation {
	c := &scramConversation{s: s, mechanism: m}
	hash := scram.SHA256
	if m == auth.ScramSHA512 {
		hash = scram.SHA512
	}
	server, err := hash.NewServer(c.lookup)
	if err != nil {
		panic("BUG: sasl: " + err.Error()) // it has no reason to fail
	}
	c.conv = server.NewConversation()
	return c
}

func (c *scramConversation) lookup(user string) (scram.StoredCredentials, error) {
	cred, ok := c.credential(user)
	if !ok {
		return scram.StoredCredentials{}, errUnknownUser
	}
	return scram.StoredCredentials{KeyFactors: scram.KeyFactors{Salt: string(cred.Salt), Iters: cred.Iterations}, StoredKey: cred.StoredKey, ServerKey: cred.ServerKey}, nil
}

func (c *scramConversation) credential(user string) (cred auth.Credential, ok bool) {
	if c.byToken {
		if c.s.opt.TokenCredential == nil {
			return cred, false
		}
		cred, c.token, ok = c.s.opt.TokenCredential(user, c.mechanism)
		return cred, ok
	}
	if c.s.opt.Credential != nil {
		if cred, ok = c.s.opt.Credential(user, c.mechanism); ok {
			return cred, true
		}
	}
	return c.s.opt.Users.Credential(user, c.mechanism)
}

func (c *scramConversation) refuse() error {
	return &Refused{"Authentication failed during authentication due to invalid credentials with SASL mechanism " + c.mechanism.String()}
}

func (c *scramConversation) Step(_ context.Context, in []byte) ([]byte, *Login, error) {
	text := string(in)
	if !c.began {
		c.began = true
		c.byToken = wantsToken(text)
	}
	out, err := c.conv.Step(text)
	switch {
	case err != nil:
		return nil, nil, c.refuse()
	case !c.conv.Done():
		return []byte(out), nil, nil
	case !c.conv.Valid() || c.conv.AuthzID() != "" && c.conv.AuthzID() != c.conv.Username():
		return nil, nil, c.refuse()
	case c.byToken:
		return []byte(out), &Login{Principal: c.token.Owner, Expires: c.token.Expires, Token: true}, nil
	}
	return []byte(out), &Login{Principal: auth.User(c.conv.Username()), Expires: time.Time{}}, nil
}

// wantsToken looks for the extension tokenauth=true behind the nonce of a client's first message.
func wantsToken(first string) bool {
	fields := strings.Split(first, ",")
	return len(fields) > 4 && slices.Contains(fields[4:], "tokenauth=true")
}
