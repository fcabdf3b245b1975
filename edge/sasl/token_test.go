package sasl

import (
	"context"
	"encoding/base64"
	"testing"
	"time"
)

// FuzzToken: no token gets in whose signature nobody checked: where unsigned ones count, only those that say so themselves; where they do not, none.
func FuzzToken(f *testing.F) {
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	now := time.Unix(1_700_000_000, 0)
	none := b64(`{"alg":"none"}`)
	f.Add(none + "." + b64(`{"sub":"alice","exp":1700003600}`) + ".")
	f.Add(b64(`{"alg":"HS256","kid":"a"}`) + "." + b64(`{"sub":"alice","exp":1e30}`) + "." + b64("x"))
	f.Add(b64(`{"alg":"RS256","crit":["b64"],"b64":false}`) + ".." + b64("x"))
	f.Add("....")
	open := NewBearer(BearerOptions{Unsecured: true, Now: func() time.Time { return now }})
	shut := NewBearer(BearerOptions{Now: func() time.Time { return now }})
	f.Fuzz(func(t *testing.T, token string) {
		if c, err := shut.check(context.Background(), token); err == nil {
			t.Fatalf("somebody got in: %+v", c)
		}
		c, err := open.check(context.Background(), token)
		if _, unsigned := unsecured(token); err == nil && !unsigned {
			t.Fatalf("a signature that nobody checked: %+v", c)
		}
		if err == nil && (c.name == "" || !c.expires.After(now.Add(-clockSkew))) {
			t.Fatalf("let in: %+v", c)
		}
	})
}
