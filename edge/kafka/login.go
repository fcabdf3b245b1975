package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// TokenKey stands for the API key of a request that is a bare token of SASL, as it follows SaslHandshake version 0: it has neither key nor
// version nor correlation id, and its response is a size and bytes, nothing else.
const TokenKey = -1

// handshake does what TLS needs before the first frame.
func (c *conn) handshake() error {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.srv.opt.LoginTimeout)
	defer cancel()
	err := t.HandshakeContext(ctx)
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		return fmt.Errorf("the client does not speak TLS, but this listener does: %w", err)
	}
	return err
}

// Clients that are cut off, or whose logins or handshakes fail, try again and again. Of what one address is told off for, the first time in a minute is a
// warning, and no more than so many of one reason.
const (
	complainEvery  = time.Minute
	complainOfEach = 10
	complainMax    = 1000 // addresses and reasons that are remembered; then they are forgotten together
)

// complaints are those about one address for one reason in a minute.
type complaints struct {
	since   time.Time
	details map[string]bool
}

func (s *Server) complain(what string, client net.Addr, listener, reason, detail string) {
	host, _, _ := net.SplitHostPort(client.String())
	key, now := host+" "+listener+" "+reason, time.Now()
	s.mu.Lock()
	c := s.mu.complained[key]
	if c == nil || now.Sub(c.since) >= complainEvery {
		if s.mu.complained == nil || len(s.mu.complained) >= complainMax {
			s.mu.complained = map[string]*complaints{}
		}
		c = &complaints{since: now, details: map[string]bool{}}
		s.mu.complained[key] = c
	}
	level := slog.LevelDebug
	if !c.details[detail] && len(c.details) < complainOfEach {
		c.details[detail] = true
		level = slog.LevelWarn
	}
	s.mu.Unlock()
	s.opt.Logger.Log(context.Background(), level, what, "client", client, "listener", listener, "reason", reason, "detail", detail)
}

// readToken reads a bare token and starts it as a request.
func (c *conn) readToken(size int) (reason string, err error) {
	if size < 0 || size > loginBytes {
		return reasonFrame, fmt.Errorf("a token of %d bytes; allowed are 0 to %d", size, loginBytes)
	}
	return c.receive(&Request{Key: TokenKey, conn: c}, size, 0)
}

// TLS describes the TLS connection that the request came by; nil if it came in plain text.
func (r *Request) TLS() *tls.ConnectionState {
	t, ok := r.conn.nc.(*tls.Conn)
	if !ok {
		return nil
	}
	s := t.ConnectionState()
	return &s
}

// Session returns what SetSession was given last on the connection, nil at first. Both are for the goroutine that runs Handle.
func (r *Request) Session() any { return r.conn.session }

// SetSession keeps something with the connection.
func (r *Request) SetSession(s any) { r.conn.session = s }

// Admit says that the client has logged in: from the next request on, frames may be large and time is long. It is for the goroutine that
// runs Handle.
func (r *Request) Admit() {
	r.conn.login, r.conn.deadline = time.Time{}, time.Time{}
	r.conn.srv.metrics.admitted.WithLabelValues(r.conn.listener).Inc()
}

// ExpectTokens says whether the frames that follow are bare tokens. It is for the goroutine that runs Handle.
func (r *Request) ExpectTokens(yes bool) { r.conn.raw = yes }

// RefuseLogin finishes the request with a response, if reply has any, and has the connection closed once that is written; and not before
// delay has passed, so that who guesses has to wait. It blocks that long: nothing else happens on the connection.
func (r *Request) RefuseLogin(reply *Reply, delay time.Duration, reason string) {
	c := r.conn
	wait := time.NewTimer(delay)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-c.ctx.Done():
	}
	c.refused = true
	c.stopReading()
	c.srv.complain("refused a login", c.nc.RemoteAddr(), c.listener, reasonLogin, reason)
	c.srv.metrics.refused.WithLabelValues(c.listener).Inc()
	if reply == nil {
		c.finish(r, Reply{})
		return
	}
	r.Reply(*reply)
}
