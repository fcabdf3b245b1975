package handle

import (
	"fmt"
	"net"
	"time"

	"sluice/base/config"
	"sluice/broker/auth"
	"sluice/edge/kafka"
	"sluice/edge/sasl"
	"sluice/wire/msg"
)

// Security says who may connect and what clients may do. The zero value, and a nil *Security, is open to all.
type Security struct {
	Listeners    map[string]config.Listener // by name; one that is not here is plain text
	SASL         *sasl.Server               // nil: no listener has clients log in
	Mapping      auth.Mapping               // of the names in certificates
	MaxReauth    time.Duration              // after that a client has to log in again; 0: never
	FailureDelay time.Duration              // before a failed login is answered
	Tokens       TokenSettings
	// Authorizer returns what decides what clients may do, nil if nobody is refused anything. It is called for every request.
	Authorizer func() *auth.Authorizer
	Now        func() time.Time // nil: time.Now
}

// session is what is known of the client of a connection. Only the goroutine that runs Handle uses it.
type session struct {
	who      auth.Principal
	host     string
	open     bool // the client is known: it has logged in, or need not
	login    bool // the listener has clients log in
	token    bool // by delegation token
	expires  time.Time
	begun    bool // a handshake was answered; what follows logs in
	bare     bool // by bare tokens, as after version 0 of the handshake
	chosen   string
	mutual   sasl.Conversation // nil: none is going on
	memo     map[memoKey]bool  // checks that were answered by memoOf
	memoOf   *auth.Authorizer
	loggedOf int // refusals that were logged
}

// session returns that of a request's connection; the first request makes it. It returns nil after it has refused the connection.
func (h *Handler) session(r *kafka.Request) *session {
	if s, ok := r.Session().(*session); ok {
		return s
	}
	s := &session{who: auth.Anonymous, host: hostOf(r.RemoteAddr()), open: true}
	r.SetSession(s)
	sec := h.opt.Security
	if sec == nil {
		return s
	}
	l := sec.Listeners[r.Listener()]
	if l.SASL() {
		s.login, s.open = true, false
		return s
	}
	if !l.TLS() {
		return s
	}
	who, err := certified(r, sec.Mapping)
	if err != nil {
		r.RefuseLogin(nil, 0, err.Error())
		return nil
	}
	s.who = who
	return s
}

// certified returns the principal that the client's certificate names.
func certified(r *kafka.Request, mapping auth.Mapping) (auth.Principal, error) {
	state := r.TLS()
	if state == nil || len(state.PeerCertificates) == 0 {
		return auth.Anonymous, nil
	}
	dn, err := auth.DistinguishedName(state.PeerCertificates[0].RawSubject)
	if err != nil {
		return "", err
	}
	name, ok := mapping.Name(dn)
	if !ok {
		return "", fmt.Errorf("no rule of ssl.principal.mapping.rules matches the client's name %s", dn)
	}
	return auth.User(name), nil
}

func hostOf(addr net.Addr) string {
	host, _, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	return auth.Host(host)
}

// mayPass reports whether a request of this key may be served in the session as it is; it has refused the request if not. Before a login
// only ApiVersions and what logs in may pass; and again when the time of a login is over.
func (h *Handler) mayPass(s *session, r *kafka.Request) bool {
	if !s.login {
		return true
	}
	if s.bare && r.Key != kafka.TokenKey {
		panic("BUG: handle: a request where tokens are read")
	}
	switch r.Key {
	case msg.KeyApiVersions, msg.KeySaslHandshake, kafka.TokenKey:
		return true
	case msg.KeySaslAuthenticate:
		if s.begun || s.open {
			return true
		}
	default:
		if s.open && !s.begun && (s.expires.IsZero() || h.now().Before(s.expires)) {
			return true
		}
	}
	why := "before a login"
	if s.open {
		why = "after the login has expired"
	}
	r.RefuseLogin(nil, h.opt.Security.FailureDelay, fmt.Sprintf("%s %s", APIName(r.Key), why))
	return false
}

func (h *Handler) now() time.Time {
	if h.opt.Security == nil || h.opt.Security.Now == nil {
		return time.Now()
	}
	return h.opt.Security.Now()
}
