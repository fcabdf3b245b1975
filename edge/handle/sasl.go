package handle

// SaslHandshake (key 17), versions 0-1, and SaslAuthenticate (key 36), versions 0-2.
//
// After version 0 of the handshake bare tokens follow, each a size and bytes; after version 1 SaslAuthenticate. A failed login is answered
// with SASL_AUTHENTICATION_FAILED and a message, after a delay, and then the connection is closed; bare tokens have no room for that.
// With connections.max.reauth.ms, or a token that expires, the answer says how long the login holds; a new one on the same connection must
// be by the same mechanism and name the same principal. Requests that come in between a new handshake and its end are refused.
// On listeners without login both answer ILLEGAL_SASL_STATE.

import (
	"errors"
	"fmt"
	"time"

	"sluice/edge/kafka"
	"sluice/edge/sasl"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

func (h *Handler) saslHandshake(c *call, req *msg.SaslHandshakeRequest) {
	resp := new(msg.SaslHandshakeResponse)
	resp.SetDefaults()
	s := c.session
	switch {
	case !s.login || s.open && !h.reauthenticates(s):
		resp.ErrorCode = int16(kerr.IllegalSASLState)
		c.reply(resp)
		return
	case s.begun:
		resp.ErrorCode = int16(kerr.IllegalSASLState)
		c.refuse(resp, h.opt.Security.FailureDelay, "a second SaslHandshake amid a login")
		return
	}
	resp.Mechanisms = h.opt.Security.SASL.Mechanisms()
	if s.open && s.chosen != req.Mechanism {
		resp.ErrorCode = int16(kerr.IllegalSASLState)
		c.refuse(resp, h.opt.Security.FailureDelay, "another mechanism for a new login on the same connection")
		return
	}
	conversation, ok := h.opt.Security.SASL.Begin(req.Mechanism)
	if !ok {
		resp.ErrorCode = int16(kerr.UnsupportedSASLMechanism)
		c.refuse(resp, h.opt.Security.FailureDelay, fmt.Sprintf("mechanism %.32q is not offered", req.Mechanism))
		return
	}
	s.mutual, s.chosen, s.begun, s.bare = conversation, req.Mechanism, true, c.Version == 0
	c.ExpectTokens(s.bare)
	c.reply(resp)
}

// reauthenticates reports whether logins in the session end, so that a client may log in again.
func (h *Handler) reauthenticates(s *session) bool { return !s.expires.IsZero() }

func (h *Handler) saslAuthenticate(c *call, req *msg.SaslAuthenticateRequest) {
	resp := new(msg.SaslAuthenticateResponse)
	resp.SetDefaults()
	s := c.session
	if !s.login || s.mutual == nil {
		resp.ErrorCode = int16(kerr.IllegalSASLState)
		text := "SaslAuthenticate request received after successful authentication"
		resp.ErrorMessage = &text
		c.reply(resp)
		return
	}
	out, lifetime, err := h.stepLogin(c, req.AuthBytes)
	if err != nil {
		text := shownOf(err, s.chosen)
		resp.ErrorCode, resp.ErrorMessage = int16(kerr.SASLAuthenticationFailed), &text
		c.refuse(resp, h.opt.Security.FailureDelay, s.chosen+": "+err.Error())
		return
	}
	resp.AuthBytes, resp.SessionLifetimeMs, resp.ErrorMessage = out, lifetime.Milliseconds(), nil
	c.reply(resp)
}

// bareToken takes what follows version 0 of the handshake.
func (h *Handler) bareToken(c *call) {
	s := c.session
	if s.mutual == nil {
		c.Abort("a token where no login is going on")
		return
	}
	out, _, err := h.stepLogin(c, c.Body)
	if err != nil {
		c.RefuseLogin(nil, h.opt.Security.FailureDelay, s.chosen+": "+err.Error())
		return
	}
	if s.mutual == nil {
		s.bare = false
		c.ExpectTokens(false)
	}
	c.Reply(kafka.Reply{Segments: [][]byte{out}})
}

// stepLogin goes one step on in a login. When that was the last, the session is that of who logged in.
func (h *Handler) stepLogin(c *call, in []byte) (out []byte, lifetime time.Duration, err error) {
	s := c.session
	out, login, err := s.mutual.Step(c.Context(), in)
	switch {
	case err != nil:
		return nil, 0, err
	case login == nil:
		return out, 0, nil
	case s.open && login.Principal != s.who:
		return nil, 0, &sasl.Refused{Message: "Cannot change principals during re-authentication from " + string(s.who) + " to " + string(login.Principal)}
	}
	s.mutual, s.begun, s.open, s.who, s.token = nil, false, true, login.Principal, login.Token
	s.memo = nil
	now := h.now()
	s.expires = login.Expires
	if limit := h.opt.Security.MaxReauth; limit > 0 && (s.expires.IsZero() || s.expires.After(now.Add(limit))) {
		s.expires = now.Add(limit)
	}
	if !s.expires.IsZero() {
		if lifetime = s.expires.Sub(now); lifetime <= 0 {
			return nil, 0, &sasl.Refused{Message: "Authentication failed: what the client logged in with has expired"}
		}
	}
	c.Admit()
	h.log.Debug("a client logged in", "principal", s.who, "mechanism", s.chosen, "host", s.host, "listener", c.Listener())
	return out, lifetime, nil
}

// shownOf returns what the client is told of a failed login.
func shownOf(err error, mechanism string) string {
	var r *sasl.Refused
	if errors.As(err, &r) {
		return r.Message
	}
	return "Authentication failed due to invalid credentials with SASL mechanism " + mechanism
}

// refuse answers with m, and has the connection closed after that.
func (c *call) refuse(m msg.Message, delay time.Duration, reason string) {
	c.RefuseLogin(&kafka.Reply{Segments: [][]byte{m.Append(c.responseHeader(nil), c.Version)}}, delay, reason)
}
