package handle

// CreateDelegationToken (key 38), versions 1-3; RenewDelegationToken (key 39), versions 1-2; ExpireDelegationToken (key 40), versions 1-2;
// DescribeDelegationToken (key 41), versions 1-3 (KIP-48, KIP-373).
//
// Tokens are in the metadata without their keys, which are made of the id and delegation.token.secret.key. A connection asks for tokens only if its
// client is known by more than a token and not in plain text, as in Kafka. Renewing and ending is for owners and renewers, whatever ACLs say.

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"sluice/base"
	"sluice/base/config"
	"sluice/broker/auth"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// TokenSettings are the settings of delegation tokens.
type TokenSettings struct {
	Secret      string        // empty: there are no tokens
	MaxLifetime time.Duration // of a token, renewals included
	Expiry      time.Duration // of a token that is not renewed
}

// mayAskForTokens reports whether the client is one that requests about tokens are taken from.
func (h *Handler) mayAskForTokens(c *call) bool {
	if h.opt.Security == nil || c.session.token {
		return false
	}
	switch h.opt.Security.Listeners[c.Listener()].Protocol {
	case "", config.Plaintext:
		return false
	case config.SSL:
		return c.session.who != auth.Anonymous
	}
	return true
}

// tokensPossible returns why a request about tokens cannot be served.
func (h *Handler) tokensPossible(c *call) kerr.Code {
	switch {
	case !h.mayAskForTokens(c):
		return kerr.DelegationTokenRequestNotAllowed
	case h.opt.Security.Tokens.Secret == "":
		return kerr.DelegationTokenAuthDisabled
	}
	return kerr.None
}

// ownerOf returns whose the token is to be.
func ownerOf(c *call, req *msg.CreateDelegationTokenRequest) auth.Principal {
	if name := req.OwnerPrincipalName; name != nil && *name != "" {
		kind := ""
		if req.OwnerPrincipalType != nil {
			kind = *req.OwnerPrincipalType
		}
		return auth.Principal(kind + ":" + *name)
	}
	return c.session.who
}

// uncreated is the answer to a request for a token that is not made.
func uncreated(c *call, owner auth.Principal, code kerr.Code) *msg.CreateDelegationTokenResponse {
	resp := new(msg.CreateDelegationTokenResponse)
	resp.SetDefaults()
	resp.ErrorCode = int16(code)
	resp.PrincipalType, resp.PrincipalName = owner.Cut()
	resp.TokenRequesterPrincipalType, resp.TokenRequesterPrincipalName = c.session.who.Cut()
	resp.IssueTimestampMs, resp.ExpiryTimestampMs, resp.MaxTimestampMs = -1, -1, -1
	return resp
}

func guardCreateToken(g *gate, req *msg.CreateDelegationTokenRequest) msg.Message {
	owner := ownerOf(g.c, req)
	if !g.h.mayAskForTokens(g.c) || owner == g.c.session.who || g.must(auth.CreateTokens, auth.UserResource, string(owner)) {
		return nil
	}
	return uncreated(g.c, owner, kerr.DelegationTokenAuthorizationFailed)
}

// renewersMax is how many renewers a token may have.
const renewersMax = 1000

func (h *Handler) createToken(c *call, req *msg.CreateDelegationTokenRequest) *msg.CreateDelegationTokenResponse {
	owner := ownerOf(c, req)
	code := h.tokensPossible(c)
	var renewers []auth.Principal
	for _, r := range req.Renewers {
		if r.PrincipalType != "User" && code != kerr.DelegationTokenRequestNotAllowed {
			code = kerr.InvalidPrincipalType
		}
		renewers = append(renewers, auth.Principal(r.PrincipalType+":"+r.PrincipalName))
	}
	if code == kerr.None && len(renewers) > renewersMax {
		code = kerr.InvalidRequest
	}
	if code != kerr.None {
		return uncreated(c, owner, code)
	}
	set := h.opt.Security.Tokens
	now := h.now()
	t := auth.TokenInfo{
		ID: base.NewUUID().String(), Owner: owner, Requester: c.session.who, Renewers: renewers, Issued: now, Max: now.Add(within(req.MaxLifetimeMs, set.MaxLifetime)),
	}
	t.Expires = earlier(t.Max, now.Add(set.Expiry))
	if err := h.changeToken(c.Context(), t.ID, func(keys map[string]string) { maps.Copy(keys, t.Encode()) }); err != nil {
		return uncreated(c, owner, codeOf(err))
	}
	h.log.Info("made a delegation token", "token", t.ID, "owner", owner, "by", c.session.who, "host", c.session.host)
	resp := uncreated(c, owner, kerr.None)
	resp.IssueTimestampMs, resp.ExpiryTimestampMs, resp.MaxTimestampMs = t.Issued.UnixMilli(), t.Expires.UnixMilli(), t.Max.UnixMilli()
	resp.TokenId, resp.Hmac = t.ID, auth.TokenKey(set.Secret, t.ID)
	return resp
}

// within returns a period that a client asks for, at most max; none is max.
func within(ms int64, limit time.Duration) time.Duration {
	if ms > 0 && ms < limit.Milliseconds() {
		return time.Duration(ms) * time.Millisecond
	}
	return limit
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// changeToken changes what is kept of a token.
func (h *Handler) changeToken(ctx context.Context, id string, change func(keys map[string]string)) error {
	return h.changeStored(ctx, meta.TokenConfig, []string{id}, func(_ string, keys map[string]string) { change(keys) })[id]
}

// ownToken finds the token with a key for a client that wants to change when it ends.
func (h *Handler) ownToken(c *call, key []byte) (t auth.TokenInfo, code kerr.Code) {
	if code = h.tokensPossible(c); code != kerr.None {
		return t, code
	}
	t, ok := auth.TokenByKey(h.opt.Control.Image(), h.opt.Security.Tokens.Secret, key)
	if !ok {
		return t, kerr.DelegationTokenNotFound
	}
	return t, kerr.None
}

// expireAt sets when a token ends, unless it has gone meanwhile.
func (h *Handler) expireAt(c *call, t auth.TokenInfo, at time.Time) (int64, kerr.Code) {
	gone := false
	err := h.changeToken(c.Context(), t.ID, func(keys map[string]string) {
		if gone = len(keys) == 0; !gone {
			t.Expires = at
			keys["expires"] = t.Encode()["expires"]
		}
	})
	switch {
	case err != nil:
		return 0, codeOf(err)
	case gone:
		return 0, kerr.DelegationTokenNotFound
	}
	h.log.Info("changed when a delegation token ends", "token", t.ID, "owner", t.Owner, "ends", at.UTC(), "by", c.session.who, "host", c.session.host)
	return at.UnixMilli(), kerr.None
}

func (h *Handler) renewToken(c *call, req *msg.RenewDelegationTokenRequest) *msg.RenewDelegationTokenResponse {
	resp := new(msg.RenewDelegationTokenResponse)
	resp.SetDefaults()
	t, code := h.ownToken(c, req.Hmac)
	now := h.now()
	switch {
	case code == kerr.DelegationTokenRequestNotAllowed:
		resp.ExpiryTimestampMs = -1
	case code != kerr.None:
	case t.Expired(now):
		code = kerr.DelegationTokenExpired
	case !t.OwnedBy(c.session.who):
		code = kerr.DelegationTokenOwnerMismatch
	default:
		at := earlier(t.Max, now.Add(within(req.RenewPeriodMs, h.opt.Security.Tokens.Expiry)))
		resp.ExpiryTimestampMs, code = h.expireAt(c, t, at)
	}
	resp.ErrorCode = int16(code)
	return resp
}

func (h *Handler) expireToken(c *call, req *msg.ExpireDelegationTokenRequest) *msg.ExpireDelegationTokenResponse {
	resp := new(msg.ExpireDelegationTokenResponse)
	resp.SetDefaults()
	t, code := h.ownToken(c, req.Hmac)
	now := h.now()
	switch {
	case code == kerr.DelegationTokenRequestNotAllowed:
		resp.ExpiryTimestampMs = -1
	case code != kerr.None:
	case !t.OwnedBy(c.session.who):
		code = kerr.DelegationTokenOwnerMismatch
	case req.ExpiryTimePeriodMs < 0:
		err := h.changeToken(c.Context(), t.ID, func(keys map[string]string) { clear(keys) })
		if code = codeOf(err); err == nil {
			resp.ExpiryTimestampMs = now.UnixMilli()
			h.log.Info("ended a delegation token", "token", t.ID, "owner", t.Owner, "by", c.session.who, "host", c.session.host)
		}
	case t.Expired(now):
		code = kerr.DelegationTokenExpired
	default:
		at := t.Max
		if left := t.Max.Sub(now); req.ExpiryTimePeriodMs < left.Milliseconds() {
			at = now.Add(time.Duration(req.ExpiryTimePeriodMs) * time.Millisecond)
		}
		resp.ExpiryTimestampMs, code = h.expireAt(c, t, at)
	}
	resp.ErrorCode = int16(code)
	return resp
}

func (h *Handler) describeTokens(c *call, req *msg.DescribeDelegationTokenRequest) *msg.DescribeDelegationTokenResponse {
	resp := new(msg.DescribeDelegationTokenResponse)
	resp.SetDefaults()
	if code := h.tokensPossible(c); code != kerr.None {
		resp.ErrorCode = int16(code)
		return resp
	}
	var owners []auth.Principal
	for _, o := range req.Owners {
		owners = append(owners, auth.Principal(o.PrincipalType+":"+o.PrincipalName))
	}
	all := auth.StoredTokens(h.opt.Control.Image())
	slices.SortFunc(all, func(a, b auth.TokenInfo) int {
		if d := a.Issued.Compare(b.Issued); d != 0 {
			return d
		}
		return strings.Compare(a.ID, b.ID)
	})
	for _, t := range all {
		asked := req.Owners == nil || slices.ContainsFunc(owners, t.OwnedBy)
		if asked && (t.OwnedBy(c.session.who) || h.mayDescribeToken(c, t)) {
			h.addToken(resp, t)
		}
	}
	return resp
}

// mayDescribeToken asks the ACLs about a token of somebody else.
func (h *Handler) mayDescribeToken(c *call, t auth.TokenInfo) bool {
	a := h.authorizer()
	if a == nil {
		return true
	}
	g := &gate{h, c, a}
	return g.may(auth.Describe, auth.DelegationToken, t.ID) || g.may(auth.DescribeTokens, auth.UserResource, string(t.Owner))
}

func (h *Handler) addToken(resp *msg.DescribeDelegationTokenResponse, t auth.TokenInfo) {
	out := add(&resp.Tokens)
	out.PrincipalType, out.PrincipalName = t.Owner.Cut()
	out.TokenRequesterPrincipalType, out.TokenRequesterPrincipalName = t.Requester.Cut()
	out.IssueTimestamp, out.ExpiryTimestamp, out.MaxTimestamp = t.Issued.UnixMilli(), t.Expires.UnixMilli(), t.Max.UnixMilli()
	out.TokenId, out.Hmac = t.ID, auth.TokenKey(h.opt.Security.Tokens.Secret, t.ID)
	for _, p := range t.Renewers {
		r := add(&out.Renewers)
		r.PrincipalType, r.PrincipalName = p.Cut()
	}
}
