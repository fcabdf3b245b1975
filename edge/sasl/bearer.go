package sasl

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"sluice/broker/auth"
)

// bearer is a conversation of OAUTHBEARER (RFC 7628). A token that is refused is answered with the reason, in JSON; the client confirms
// that with one byte, and then the login fails.
type bearer struct {
	checker *Bearer
	failed  string
}

func (b *bearer) Step(ctx context.Context, in []byte) ([]byte, *Login, error) {
	if b.failed != "" {
		return nil, nil, &Refused{b.failed}
	}
	user, token, err := parseBearer(string(in))
	if err != nil {
		return nil, nil, &Refused{err.Error()}
	}
	claims, err := b.checker.check(ctx, token)
	if err != nil {
		status, _ := json.Marshal(map[string]string{"status": "invalid_token"})
		b.failed = string(status)
		return status, nil, nil
	}
	if user != "" && user != claims.name {
		return nil, nil, &Refused{"Authentication failed: Client requested an authorization id that is different from the token's principal name"}
	}
	return []byte{}, &Login{Principal: auth.User(claims.name), Expires: claims.expires}, nil
}

// parseBearer reads a client's first message: n,[a=user],^Aauth=Bearer token^A[key=value^A…]^A.
func parseBearer(text string) (user, token string, err error) {
	malformed := errors.New("Authentication failed: Invalid OAUTHBEARER client first message")
	head, rest, ok := strings.Cut(text, "\x01")
	if !ok || !strings.HasSuffix(rest, "\x01\x01") && rest != "\x01" {
		return "", "", malformed
	}
	gs2 := strings.Split(head, ",")
	if len(gs2) != 3 || gs2[0] != "n" || gs2[2] != "" {
		return "", "", malformed
	}
	if gs2[1] != "" {
		name, ok := strings.CutPrefix(gs2[1], "a=")
		if !ok {
			return "", "", malformed
		}
		user = strings.NewReplacer("=2C", ",", "=3D", "=").Replace(name)
	}
	for pair := range strings.SplitSeq(strings.TrimSuffix(rest, "\x01\x01"), "\x01") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return "", "", malformed
		}
		if key != "auth" {
			continue // extensions
		}
		kind, credential, ok := strings.Cut(value, " ")
		if !ok || !strings.EqualFold(kind, "bearer") || token != "" {
			return "", "", malformed
		}
		token = strings.TrimSpace(credential)
	}
	if token == "" {
		return "", "", malformed
	}
	return user, token, nil
}

// claims are what counts of a token.
type claims struct {
	name    string
	expires time.Time
}
