package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestJAASLines(t *testing.T) {
	const scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
	for line, want := range map[string]string{
		scram + ` required username="alice" password="a \b;c=d" tokenauth="true";`: `alice a \b;c=d true`,
		scram + ` required username='alice' password=secret;`:                      `alice secret `,
		scram + ` required  username=alice  password = "x" ;`:                      `alice x `,
	} {
		options, err := jaas(line)
		if got := options["username"] + " " + options["password"] + " " + options["tokenauth"]; err != nil || got != want {
			t.Errorf("%s: %q, %v", line, got, err)
		}
	}
	for _, line := range []string{"", "com.sun.security.auth.module.Krb5LoginModule required;", scram + ` required username="alice;`, scram + ` required username;`} {
		if _, err := jaas(line); err == nil {
			t.Errorf("%q was taken", line)
		}
	}
}

// certificate writes a key and a certificate for localhost that signs itself.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	return written(t, "broker.pem", string(text))
}

func written(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestCommandConfig: client commands speak TLS and log in, and say what is wrong where they cannot.
func TestCommandConfig(t *testing.T) {
	pem := certificate(t)
	address, _, _ := broker(t, "--data", t.TempDir(), "--wal", "file://"+t.TempDir()+"/wal?segment=1MiB&capacity=16MiB", "--listeners", "SASL_SSL://localhost:0",
		"--ssl-keystore-location", pem, "--sasl-users", written(t, "users", "alice = secret\n"), "--connection-failed-authentication-delay-ms", "1")
	file := func(mechanism, password string, more ...string) string {
		return written(t, "client.properties", strings.Join(append([]string{"# for Kafka's tools", "security.protocol=SASL_SSL", "sasl.mechanism=" + mechanism,
			`sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \`, `  username="alice" password="` + password + `";`,
			"ssl.truststore.type=PEM", "ssl.truststore.location=" + pem, "request.timeout.ms=5000"}, more...), "\n"))
	}
	for _, tc := range []struct {
		config, args string
		code         int
		says         string
	}{
		{file("SCRAM-SHA-512", "secret"), "topic create safe", 0, "Created topic safe"},
		{file("PLAIN", "secret"), "produce safe", 0, "1 record written"},
		{file("SCRAM-SHA-256", "secret"), "consume safe --count 1", 0, "hello"},
		{file("PLAIN", "secret", "ssl.endpoint.identification.algorithm="), "topic list", 0, "safe"},
		{file("SCRAM-SHA-512", "guessed"), "topic list", 1, "refuses the login: SASL_AUTHENTICATION_FAILED"},
		{file("SCRAM-SHA-512", "secret", "ssl.truststore.location="+certificate(t)), "topic list", 1, "certificate signed by unknown authority"},
		{file("GSSAPI", "secret"), "topic list", 2, "these tools know PLAIN"},
		{written(t, "c", "security.protocol=TLS"), "topic list", 2, "security.protocol: want PLAINTEXT"},
		{written(t, "c", "security.protocol=SSL\nssl.truststore.location="+written(t, "trust.jks", "\xfe\xed")), "topic list", 2, "is no PEM file"},
		{"", "topic list --timeout 2s", 1, "it may want TLS or a login: give --command-config"},
	} {
		args := append(strings.Fields(tc.args), "-b", address)
		if tc.config != "" {
			args = append(args, "--command-config", tc.config)
		}
		code, stdout, stderr := run("hello\n", args...)
		if code != tc.code || !strings.Contains(stdout+stderr, tc.says) || strings.Contains(stderr, "guessed") {
			t.Errorf("%s: code %d, %s%s", tc.args, code, stdout, stderr)
		}
	}
}
