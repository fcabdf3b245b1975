package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// newCertificate makes files with a key and a certificate for localhost, and what a client needs to believe in it.
func newCertificate(t *testing.T) (files string, trusted *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	files = filepath.Join(t.TempDir(), "broker.pem")
	if err := os.WriteFile(files, append(cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...), 0o600); err != nil {
		t.Fatal(err)
	}
	trusted = x509.NewCertPool()
	trusted.AppendCertsFromPEM(cert)
	return files, trusted
}

// TestUsersAndACLs: over TLS, users of a file and of the metadata log in, and may do what ACLs say, before and after a restart.
func TestUsersAndACLs(t *testing.T) {
	files, trusted := newCertificate(t)
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("admin = secret-of-admin\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, "listeners=SASL_SSL://localhost:0", "ssl.keystore.location="+files, "sasl-users="+users,
		"authorizer.class.name=standard", "super.users=User:admin", "connection.failed.authentication.delay.ms=1")
	c.start()
	as := func(how sasl.Mechanism, opts ...kgo.Opt) *kgo.Client {
		return c.client(append(opts, kgo.SASL(how), kgo.DialTLSConfig(&tls.Config{RootCAs: trusted, ServerName: "localhost"}))...)
	}
	password := "secret-of-alice"
	alice := func() sasl.Mechanism { return scram.Auth{User: "alice", Pass: password}.AsSha512Mechanism() }

	admin := kadm.NewClient(as(plain.Auth{User: "admin", Pass: "secret-of-admin"}.AsMechanism()))
	if _, err := admin.CreateTopics(c.ctx(), 1, 1, nil, "open", "closed"); err != nil {
		t.Fatal(err)
	}
	if err := as(alice()).Ping(c.ctx()); !errors.Is(err, kerr.SaslAuthenticationFailed) {
		t.Fatalf("there is no alice, yet: %v", err)
	}
	_, err := admin.AlterUserSCRAMs(c.ctx(), nil, []kadm.UpsertSCRAM{{User: "alice", Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password}})
	if err != nil {
		t.Fatal(err)
	}
	if err := refusal(as(alice()), "open"); !errors.Is(err, kerr.TopicAuthorizationFailed) {
		t.Fatalf("nobody has allowed anything: %v", err)
	}
	acl := kadm.NewACLs().Topics("open").Allow("User:alice").Operations(kadm.OpWrite, kadm.OpRead).ResourcePatternType(kadm.ACLPatternLiteral)
	if _, err := admin.CreateACLs(c.ctx(), acl); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		cl := as(alice())
		if err := refusal(cl, "open"); err != nil {
			t.Fatal(err)
		}
		if err := refusal(cl, "closed"); !errors.Is(err, kerr.TopicAuthorizationFailed) {
			t.Fatalf("a topic that nobody has allowed: %v", err)
		}
		names, err := kadm.NewClient(cl).ListTopics(c.ctx())
		if err != nil || len(names) != 1 || !names.Has("open") {
			t.Fatalf("alice sees %v, %v", names.Names(), err)
		}
		wrong := scram.Auth{User: "alice", Pass: "guessed"}.AsSha512Mechanism()
		if err := as(wrong).Ping(c.ctx()); !errors.Is(err, kerr.SaslAuthenticationFailed) {
			t.Fatalf("a wrong password: %v", err)
		}
	}
	check()
	groups := kadm.NewACLs().Groups("g").Allow("User:alice").Operations(kadm.OpRead).ResourcePatternType(kadm.ACLPatternLiteral)
	if _, err := admin.CreateACLs(c.ctx(), groups); err != nil {
		t.Fatal(err)
	}
	topics, err := admin.ListTopics(c.ctx(), "open")
	if err != nil {
		t.Fatal(err)
	}
	if assigned := assignedByExpression(t, c, as(alice()), "g", "open|closed"); len(assigned) != 1 || assigned[0].TopicID != topics["open"].ID {
		t.Errorf("an expression that matches a topic that alice may describe and one that she may not brings her %v", assigned)
	}
	for _, cl := range []struct {
		who  string
		c    *kgo.Client
		want int32
	}{{"admin", as(plain.Auth{User: "admin", Pass: "secret-of-admin"}.AsMechanism()), 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11}, {"alice", as(alice()), 1<<3 | 1<<8}} {
		req := kmsg.NewPtrConsumerGroupDescribeRequest()
		req.Groups, req.IncludeAuthorizedOperations = []string{"g"}, true
		resp, err := req.RequestWith(c.ctx(), cl.c)
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Groups[0]; got.AuthorizedOperations != cl.want {
			t.Errorf("%s is told of operations %b (code %d), want %b", cl.who, got.AuthorizedOperations, got.ErrorCode, cl.want)
		}
	}
	c.stop()
	c.start()
	check()
}

// assignedByExpression joins a group of the consumer protocol with an expression and returns what the first heartbeat after that brings.
func assignedByExpression(t *testing.T, c *cluster, cl *kgo.Client, group, expression string) []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic {
	t.Helper()
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.RebalanceTimeoutMillis, req.SubscribedTopicRegex = group, "member", 60_000, &expression
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	ctx := c.ctx()
	for beats := 0; beats < 2; {
		resp, err := req.RequestWith(ctx, cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if kerr.IsRetriable(err) { // the coordinator is not there yet
			time.Sleep(20 * time.Millisecond)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		beats++
		if resp.Assignment != nil && len(resp.Assignment.Topics) > 0 {
			return resp.Assignment.Topics
		}
		req = kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Group, req.MemberID, req.MemberEpoch = group, *resp.MemberID, resp.MemberEpoch
	}
	return nil
}

// refusal produces a record and returns why it was not taken.
func refusal(cl *kgo.Client, topic string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr()
}
