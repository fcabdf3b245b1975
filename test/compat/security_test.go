package compat

import (
	"path/filepath"
	"testing"

	"sluice/test/authority"
	"sluice/test/broker"
)

// TestSecurity: Kafka's tools and librdkafka over TLS, with every kind of login, with certificates, ACLs and delegation tokens.
func TestSecurity(t *testing.T) {
	a := authority.New(t)
	users := a.WriteText("users", []byte("admin = admin\n"))
	a.Issue("client.pem", "carol")
	saslAddr, sslAddr := broker.FreeAddr(t), broker.FreeAddr(t)
	broker.Start(t, broker.Options{Addr: saslAddr, Many: true, Args: []string{
		"--set", "listeners=SASL_SSL://" + saslAddr + ",SSL://" + sslAddr,
		"--set", "ssl.keystore.location=" + a.Issue("broker.pem", "broker"), "--set", "ssl.truststore.location=" + filepath.Join(a.Dir, "ca.pem"), "--set", "ssl.client.auth=required",
		"--set", "sasl-users=" + users, "--set", "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
		"--set", "sasl.oauthbearer.jwks.endpoint.url=" + a.JWKS(), "--set", "sasl.oauthbearer.expected.audience=sluice", "--set", "sasl.oauthbearer.expected.issuer=test",
		"--set", "authorizer.class.name=standard", "--set", "group.initial.rebalance.delay.ms=0", "--set", "super.users=User:admin", "--set", "delegation.token.secret.key=of this test",
	}})
	args := []string{saslAddr, sslAddr, a.Dir, a.TokenEndpoint()}
	t.Run("java", func(t *testing.T) { t.Parallel(); run(t, nil, "java/security.sh", args...) })
	t.Run("confluent-kafka-python", func(t *testing.T) {
		t.Parallel()
		run(t, nil, filepath.Join(broker.Root(), ".cache/venv/bin/python"), append([]string{"python/security.py"}, args...)...)
	})
}
