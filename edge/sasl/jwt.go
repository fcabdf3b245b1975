package sasl

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// BearerOptions say which tokens count.
type BearerOptions struct {
	JWKS      string   // URL of the keys, https, http or file; empty: only Unsecured tokens
	Issuer    string   // empty: any
	Audiences []string // of which a token must name one; none: any
	Subject   string   // the claim that is the principal's name; empty: sub
	Unsecured bool     // tokens with alg none count; for tests
	Now       func() time.Time
	Client    *http.Client // nil: one with a timeout
}

// Bearer checks the tokens of OAUTHBEARER. Everything that it cannot verify it refuses. It is safe for concurrent use.
type Bearer struct {
	opt BearerOptions

	mu struct {
		sync.Mutex
		keys    *jose.JSONWebKeySet
		fetched time.Time // when it was last tried
	}
}

// Bounds of what is taken from outside, and how often keys are asked for.
const (
	tokenMax     = 64 << 10         // bytes of a token
	keysMax      = 1 << 20          // bytes of a key set
	keysAge      = time.Hour        // keys are fetched anew when they are older
	keysRetry    = 10 * time.Second // and for a key that is not known, at most so often
	fetchTimeout = 10 * time.Second
	clockSkew    = 30 * time.Second
)

// algorithms are those of signatures; none with a shared secret, for the keys are public.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}

// NewBearer returns a checker. It fetches nothing yet.
func NewBearer(opt BearerOptions) *Bearer {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Client == nil {
		opt.Client = &http.Client{Timeout: fetchTimeout}
	}
	if opt.Subject == "" {
		opt.Subject = "sub"
	}
	return &Bearer{opt: opt}
}

// check verifies a token.
func (b *Bearer) check(ctx context.Context, token string) (c claims, err error) {
	if len(token) > tokenMax {
		return c, errors.New("the token is too long")
	}
	payload, err := b.payload(ctx, token)
	if err != nil {
		return c, err
	}
	return b.judge(payload)
}

// payload returns what a token says, if its signature is right.
func (b *Bearer) payload(ctx context.Context, token string) ([]byte, error) {
	if b.opt.Unsecured {
		if payload, ok := unsecured(token); ok {
			return payload, nil
		}
	}
	if b.opt.JWKS == "" {
		return nil, errors.New("the token is signed, and there are no keys")
	}
	signed, err := jose.ParseSignedCompact(token, algorithms)
	if err != nil {
		return nil, errors.New("the token cannot be read")
	}
	keys, err := b.keysFor(ctx, signed.Signatures[0].Header.KeyID)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if payload, err := signed.Verify(k.Key); err == nil {
			return payload, nil
		}
	}
	return nil, errors.New("no key verifies the token")
}

// unsecured returns what a token without a signature says.
func unsecured(token string) ([]byte, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || parts[2] != "" {
		return nil, false
	}
	head, err := base64.RawURLEncoding.DecodeString(parts[0])
	var h struct {
		Alg string `json:"alg"`
	}
	if err != nil || json.Unmarshal(head, &h) != nil || h.Alg != "none" {
		return nil, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	return payload, err == nil
}

// judge looks at the claims of a token whose signature is right.
func (b *Bearer) judge(payload []byte) (c claims, err error) {
	var all map[string]any
	if err := json.Unmarshal(payload, &all); err != nil {
		return c, errors.New("the claims cannot be read")
	}
	now := b.opt.Now()
	exp, ok := all["exp"].(float64)
	if !ok || exp < 0 || exp > 1e11 {
		return c, errors.New("the token does not say when it expires")
	}
	c.expires = time.Unix(int64(exp), 0)
	if now.After(c.expires.Add(clockSkew)) {
		return c, errors.New("the token has expired")
	}
	for _, name := range []string{"nbf", "iat"} {
		if at, ok := all[name].(float64); ok && (at > 1e11 || now.Add(clockSkew).Before(time.Unix(int64(at), 0))) {
			return c, errors.New("the token is not valid yet")
		}
	}
	if b.opt.Issuer != "" && all["iss"] != b.opt.Issuer {
		return c, errors.New("the token is from another issuer")
	}
	if len(b.opt.Audiences) > 0 && !slices.ContainsFunc(b.opt.Audiences, func(a string) bool { return names(all["aud"], a) }) {
		return c, errors.New("the token is for another audience")
	}
	if c.name, _ = all[b.opt.Subject].(string); strings.TrimSpace(c.name) == "" {
		return c, fmt.Errorf("the token does not say who it is")
	}
	return c, nil
}

// names reports whether a claim, a text or a list of texts, names a.
func names(claim any, a string) bool {
	switch v := claim.(type) {
	case string:
		return v == a
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return e == a })
	}
	return false
}

// keysFor returns the keys that a token may be signed with: those of its key id, or all where it has none.
func (b *Bearer) keysFor(ctx context.Context, id string) ([]jose.JSONWebKey, error) {
	b.mu.Lock()
	age := b.opt.Now().Sub(b.mu.fetched)
	known := b.mu.keys != nil && (id == "" || len(b.mu.keys.Key(id)) > 0)
	due := b.mu.fetched.IsZero() || age > keysAge || !known && age > keysRetry
	if due {
		b.mu.fetched = b.opt.Now() // who comes meanwhile does not fetch too
	}
	b.mu.Unlock()
	var err error
	if due {
		err = b.refresh(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.mu.keys == nil && err != nil:
		return nil, err
	case b.mu.keys == nil:
		return nil, errors.New("there are no keys yet")
	case id == "":
		return b.mu.keys.Keys, nil
	}
	return b.mu.keys.Key(id), nil
}

// refresh fetches the keys. Where that fails, those of before stay; without any the next token tries again.
func (b *Bearer) refresh(ctx context.Context) error {
	keys, err := b.fetch(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err == nil:
		b.mu.keys = keys
	case b.mu.keys == nil:
		b.mu.fetched = time.Time{}
	}
	return err
}

// fetch reads the key set. Of its keys only public ones count.
func (b *Bearer) fetch(ctx context.Context) (*jose.JSONWebKeySet, error) {
	text, err := b.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot read the keys of OAUTHBEARER: %w", err)
	}
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal(text, &keys); err != nil {
		return nil, fmt.Errorf("cannot read the keys of OAUTHBEARER: %w", err)
	}
	keys.Keys = slices.DeleteFunc(keys.Keys, func(k jose.JSONWebKey) bool { return !k.IsPublic() || k.Use != "" && k.Use != "sig" })
	return &keys, nil
}

func (b *Bearer) read(ctx context.Context) ([]byte, error) {
	if name, ok := strings.CutPrefix(b.opt.JWKS, "file://"); ok {
		return os.ReadFile(name)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.opt.JWKS, nil)
	if err != nil {
		return nil, err
	}
	resp, err := b.opt.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s", resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, keysMax))
}
