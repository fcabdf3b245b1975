package sasl

import (
	"context"
	"slices"
	"strings"
	"time"

	"sluice/base/config"
	"sluice/broker/auth"
)

// Login is who a client has proved to be.
type Login struct {
	Principal auth.Principal
	Expires   time.Time // of what it proved it with; zero: never
	Token     bool      // it was a delegation token
}

// Conversation is one attempt to log in.
type Conversation interface {
	// Step takes what the client sent and returns what to send back. With the last step comes the login. An error ends the conversation; it
	// is a *Refused where the client may know more than that.
	Step(ctx context.Context, in []byte) (out []byte, login *Login, err error)
}

// Refused is why a login failed, in words that the client may see.
type Refused struct{ Message string }

func (r *Refused) Error() string { return r.Message }

// Token is what a delegation token logs in as.
type Token struct {
	Owner   auth.Principal
	Expires time.Time
}

// Options are what a Server works with.
type Options struct {
	Mechanisms []string // that are offered, in Kafka's words
	// Credential returns what the cluster knows of a SCRAM user.
	Credential func(user string, m auth.Mechanism) (auth.Credential, bool)
	// TokenCredential returns what SCRAM checks a delegation token with, and whose it is. Nil: there are no tokens.
	TokenCredential func(id string, m auth.Mechanism) (auth.Credential, Token, bool)
	Users           *Users  // of the users file; nil: none
	Bearer          *Bearer // nil: OAUTHBEARER is not offered
}

// Server begins conversations. It is safe for concurrent use.
type Server struct{ opt Options }

// New returns a server.
func New(opt Options) *Server { return &Server{opt} }

// Mechanisms returns what is offered.
func (s *Server) Mechanisms() []string { return s.opt.Mechanisms }

// Begin begins a conversation; false if the mechanism is not offered.
func (s *Server) Begin(mechanism string) (Conversation, bool) {
	if !slices.Contains(s.opt.Mechanisms, mechanism) {
		return nil, false
	}
	switch mechanism {
	case config.Plain:
		return &plain{s}, true
	case config.ScramSHA256:
		return newScram(s, auth.ScramSHA256), true
	case config.ScramSHA512:
		return newScram(s, auth.ScramSHA512), true
	case config.OAuthBearer:
		if s.opt.Bearer != nil {
			return &bearer{checker: s.opt.Bearer}, true
		}
	}
	return nil, false
}

// plain is a conversation of PLAIN: one message, [authorization id] NUL user NUL password.
type plain struct{ s *Server }

func (p *plain) Step(_ context.Context, in []byte) ([]byte, *Login, error) {
	parts := strings.Split(string(in), "\x00")
	switch {
	case len(parts) != 3:
		return nil, nil, &Refused{"Authentication failed: Invalid SASL/PLAIN response: expected 3 tokens"}
	case parts[1] == "":
		return nil, nil, &Refused{"Authentication failed: username not specified"}
	case parts[2] == "":
		return nil, nil, &Refused{"Authentication failed: password not specified"}
	case !p.s.opt.Users.Check(parts[1], parts[2]):
		return nil, nil, &Refused{"Authentication failed: Invalid username or password"}
	case parts[0] != "" && parts[0] != parts[1]:
		return nil, nil, &Refused{"Authentication failed: Client requested an authorization id that is different from username"}
	}
	return []byte{}, &Login{Principal: auth.User(parts[1])}, nil
}
