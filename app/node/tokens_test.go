package node

import (
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

func byToken(token kadm.DelegationToken) sasl.Mechanism {
	return scram.Auth{User: token.TokenID, Pass: base64.StdEncoding.EncodeToString(token.HMAC), IsToken: true}.AsSha256Mechanism()
}

// tokenCluster has users admin (super), alice and bob, tokens, and ACLs.
func tokenCluster(t *testing.T, settings ...string) (c *cluster, as func(sasl.Mechanism) *kadm.Client, by func(string) *kadm.Client) {
	t.Helper()
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("admin = a\nalice = a\nbob = a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c = newCluster(t, append([]string{"listeners=SASL_PLAINTEXT://localhost:0", "sasl-users=" + users, "authorizer.class.name=standard",
		"super.users=User:admin", "connection.failed.authentication.delay.ms=1", "delegation.token.secret.key=of this cluster"}, settings...)...)
	c.start()
	as = func(how sasl.Mechanism) *kadm.Client { return kadm.NewClient(c.client(kgo.SASL(how))) }
	return c, as, func(user string) *kadm.Client { return as(plain.Auth{User: user, Pass: "a"}.AsMechanism()) }
}

// TestDelegationTokens: a token logs in as its owner, before and after a restart, and owners, renewers and ACLs decide about it.
func TestDelegationTokens(t *testing.T) {
	c, as, by := tokenCluster(t)
	ctx := c.ctx()
	token, err := by("alice").CreateDelegationToken(ctx, kadm.CreateDelegationToken{Renewers: []kadm.Principal{{Type: "User", Name: "bob"}}, MaxLifetime: time.Hour})
	if err != nil || token.Owner.Name != "alice" || !token.ExpiryTimestamp.Equal(token.MaxTimestamp) || token.MaxTimestamp.Sub(token.IssueTimestamp) != time.Hour {
		t.Fatalf("alice's token: %+v, %v", token, err)
	}
	if _, err := by("admin").CreateTopics(ctx, 1, 1, nil, "alices"); err != nil {
		t.Fatal(err)
	}
	acl := kadm.NewACLs().Topics("alices").Allow("User:alice").Operations(kadm.OpDescribe).ResourcePatternType(kadm.ACLPatternLiteral)
	if _, err := by("admin").CreateACLs(ctx, acl); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		if topics, err := as(byToken(token)).ListTopics(c.ctx()); err != nil || !topics.Has("alices") {
			t.Fatalf("a client with the token sees %v, %v", topics.Names(), err)
		}
		wrong := token
		wrong.HMAC = []byte("guessed")
		if _, err := as(byToken(wrong)).ListTopics(c.ctx()); !errors.Is(err, kerr.SaslAuthenticationFailed) {
			t.Fatalf("a wrong key: %v", err)
		}
	}
	check()
	c.stop()
	c.start()
	check()
	if _, err := as(byToken(token)).CreateDelegationToken(ctx, kadm.CreateDelegationToken{}); !errors.Is(err, kerr.DelegationTokenRequestNotAllowed) {
		t.Errorf("a token that asks for a token: %v", err)
	}
	if at, err := by("bob").RenewDelegationToken(ctx, token.HMAC, time.Minute); err != nil || !at.Before(token.ExpiryTimestamp) {
		t.Errorf("renewed by a renewer: until %v, %v", at, err)
	}
	if _, err := by("admin").RenewDelegationToken(ctx, token.HMAC, time.Minute); !errors.Is(err, kerr.DelegationTokenOwnerMismatch) {
		t.Errorf("renewed by somebody else: %v", err)
	}
	if _, err := by("alice").ExpireDelegationToken(ctx, token.HMAC, -time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if _, err := by("alice").RenewDelegationToken(ctx, token.HMAC, time.Minute); !errors.Is(err, kerr.DelegationTokenNotFound) {
		t.Errorf("renewed after its end: %v", err)
	}
	if _, err := as(byToken(token)).ListTopics(ctx); !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Errorf("a login after its end: %v", err)
	}
}

// TestTokensOfOthers: who may make and see tokens of others (KIP-373).
func TestTokensOfOthers(t *testing.T) {
	c, _, by := tokenCluster(t)
	ctx := c.ctx()
	forAlice := kadm.CreateDelegationToken{Owner: &kadm.Principal{Type: "User", Name: "alice"}}
	if _, err := by("bob").CreateDelegationToken(ctx, forAlice); !errors.Is(err, kerr.DelegationTokenAuthorizationFailed) {
		t.Fatalf("a token for somebody else: %v", err)
	}
	token, err := by("admin").CreateDelegationToken(ctx, forAlice)
	if err != nil || token.Owner.Name != "alice" || token.TokenRequesterPrincipal.Name != "admin" {
		t.Fatalf("%+v, %v", token, err)
	}
	seen := func(user string) int {
		all, err := by(user).DescribeDelegationTokens(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if seen("alice") != 1 || seen("admin") != 1 || seen("bob") != 0 {
		t.Errorf("alice, admin and bob see %d, %d and %d tokens", seen("alice"), seen("admin"), seen("bob"))
	}
	allow := kadm.NewACLs().DelegationTokens(token.TokenID).Allow("User:bob").Operations(kadm.OpDescribe).ResourcePatternType(kadm.ACLPatternLiteral)
	if _, err := by("admin").CreateACLs(ctx, allow); err != nil {
		t.Fatal(err)
	}
	if seen("bob") != 1 {
		t.Error("bob does not see a token that he may describe")
	}
}

func TestTokensWithoutASecret(t *testing.T) {
	c, _, by := tokenCluster(t, "delegation.token.secret.key=")
	if _, err := by("alice").CreateDelegationToken(c.ctx(), kadm.CreateDelegationToken{}); !errors.Is(err, kerr.DelegationTokenAuthDisabled) {
		t.Error(err)
	}
	plain := newCluster(t, "delegation.token.secret.key=x")
	plain.start()
	if _, err := kadm.NewClient(plain.client()).DescribeDelegationTokens(plain.ctx()); !errors.Is(err, kerr.DelegationTokenRequestNotAllowed) {
		t.Errorf("in plain text: %v", err)
	}
}

// TestTokensEnd: tokens that have ended are removed.
func TestTokensEnd(t *testing.T) {
	c, _, by := tokenCluster(t)
	var token kadm.DelegationToken
	for _, life := range []time.Duration{time.Hour, 24 * time.Hour} {
		made, err := by("alice").CreateDelegationToken(c.ctx(), kadm.CreateDelegationToken{MaxLifetime: life})
		if err != nil {
			t.Fatal(err)
		}
		token = made
	}
	c.node.removeExpired(context.Background(), time.Now().Add(2*time.Hour))
	all, err := by("alice").DescribeDelegationTokens(c.ctx())
	if err != nil || len(all) != 1 || all[0].TokenID != token.TokenID {
		t.Errorf("left are %+v, %v", all, err)
	}
}
