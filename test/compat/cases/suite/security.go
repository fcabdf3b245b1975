package suite

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"time"
)

// refusalMax is how long a client may try what cannot work.
const refusalMax = 15 * time.Second

func securityCases() []Case {
	ssl, saslSSL, saslPlain := os.Getenv("COMPAT_SSL"), os.Getenv("COMPAT_SASL_SSL"), os.Getenv("COMPAT_SASL_PLAINTEXT")
	ca, cert, token := os.Getenv("COMPAT_CA"), os.Getenv("COMPAT_CERT"), os.Getenv("COMPAT_TOKEN")
	const plain, scram256, scram512, oauth = "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"
	const wrong = "not-the-password"
	return []Case{
		welcome("certificate", Secure{Addr: ssl, CA: ca, Cert: cert}),
		unwelcome("no-certificate", Secure{Addr: ssl, CA: ca}),
		unwelcome("certificate-of-another-authority", Secure{Addr: ssl, CA: ca, Cert: os.Getenv("COMPAT_OTHER_CERT")}),
		unwelcome("broker-of-another-authority", Secure{Addr: ssl, CA: os.Getenv("COMPAT_OTHER_CA"), Cert: cert}),
		unwelcome("plain-text-to-tls", Secure{Addr: ssl}),
		unwelcome("no-login", Secure{Addr: saslPlain}),
		welcome("plain", Secure{saslSSL, ca, "", plain, "plain", "secret-of-plain"}),
		welcome("plain-without-tls", Secure{saslPlain, "", "", plain, "plain", "secret-of-plain"}),
		stranger("plain-wrong-password", Secure{saslSSL, ca, "", plain, "plain", wrong}),
		welcome("scram-256", Secure{saslSSL, ca, "", scram256, "scram", "secret-of-scram"}),
		welcome("scram-256-without-tls", Secure{saslPlain, "", "", scram256, "scram", "secret-of-scram"}),
		stranger("scram-256-wrong-password", Secure{saslSSL, ca, "", scram256, "scram", wrong}),
		welcome("scram-512", Secure{saslSSL, ca, "", scram512, "scram", "secret-of-scram"}),
		welcome("scram-512-without-tls", Secure{saslPlain, "", "", scram512, "scram", "secret-of-scram"}),
		stranger("scram-512-wrong-password", Secure{saslSSL, ca, "", scram512, "scram", wrong}),
		stranger("scram-512-unknown-user", Secure{saslSSL, ca, "", scram512, "nobody", wrong}),
		welcome("oauthbearer", Secure{saslSSL, ca, "", oauth, "", token}),
		welcome("oauthbearer-without-tls", Secure{saslPlain, "", "", oauth, "", token}),
		unwelcome("oauthbearer-ended-token", Secure{saslSSL, ca, "", oauth, "", os.Getenv("COMPAT_OLD_TOKEN")}),
		unwelcome("oauthbearer-unknown-key", Secure{saslSSL, ca, "", oauth, "", os.Getenv("COMPAT_OTHER_TOKEN")}),
	}
}

// welcome is a case in which a record is written and read.
func welcome(name string, s Secure) Case {
	return Case{"security/" + name, func(t *T) {
		topic := t.topic("t", 1)
		last, err := t.Client.Login(t, s, topic, "by "+name)
		t.Must("write and read", err)
		t.Equal("the last value", last, "by "+name)
	}}
}

// unwelcome is a case in which it is not, and nothing hangs.
func unwelcome(name string, s Secure) Case {
	return Case{"security/" + name, func(t *T) { t.True("it is refused", refusal(t, s) != nil) }}
}

// stranger is a case in which the client is told that its login is wrong.
func stranger(name string, s Secure) Case {
	return Case{"security/" + name, func(t *T) {
		err := refusal(t, s)
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), "auth") && !strings.Contains(err.Error(), "SASL") {
			t.Fail("no word of a wrong login: %v", err)
		}
	}}
}

func refusal(t *T, s Secure) error {
	topic := t.topic("t", 1)
	ctx, cancel := context.WithTimeout(t, refusalMax)
	defer cancel()
	_, err := t.Client.Login(ctx, s, topic, "must not be")
	if errors.Is(err, ErrLacks) {
		t.Skip("the client lacks it")
	}
	end, listErr := t.Client.ListOffset(t, topic, 0, Latest, false)
	t.Must("end offset", listErr)
	t.Equal("the topic's end", end, int64(0))
	return err
}

// TLS returns the configuration that s asks for, nil if none.
func (s Secure) TLS() (*tls.Config, error) {
	if s.CA == "" {
		return nil, nil
	}
	ca, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	c.RootCAs.AppendCertsFromPEM(ca)
	if s.Cert != "" {
		pair, err := tls.LoadX509KeyPair(s.Cert, s.Cert)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
