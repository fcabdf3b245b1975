package cli

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"sluice/base"
	"sluice/base/config"
)

// commandConfig is a file of Kafka client properties, as Kafka's own tools take it. Of its properties those count that say how to connect and to log in;
// others, such as timeouts of Java's clients, are skipped.
type commandConfig struct {
	file  string
	props map[string]string
}

// readCommandConfig reads such a file; none has no properties.
func readCommandConfig(file string) (*commandConfig, error) {
	c := &commandConfig{file: file, props: map[string]string{}}
	if file == "" {
		return c, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, base.Errorf(base.Invalid, "--command-config: %w", err)
	}
	text := strings.ReplaceAll(strings.ReplaceAll(string(b), "\r\n", "\n"), "\\\n", "")
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, base.Errorf(base.Invalid, "--command-config %s, line %d: want NAME=VALUE", file, i+1)
		}
		c.props[strings.TrimSpace(name)] = strings.ReplaceAll(strings.TrimSpace(value), `\n`, "\n")
	}
	return c, nil
}

// wrong is an error about a property. It shows no value, for some are secrets.
func (c *commandConfig) wrong(name, format string, args ...any) error {
	return base.Errorf(base.Invalid, "--command-config %s, %s: %s", c.file, name, fmt.Sprintf(format, args...))
}

// options returns how a client is to connect and to log in.
func (c *commandConfig) options() (opts []kgo.Opt, err error) {
	protocol := strings.ToUpper(c.props["security.protocol"])
	switch protocol {
	case "", config.Plaintext, config.SSL, config.SASLPlaintext, config.SASLSSL:
	default:
		return nil, c.wrong("security.protocol", "want PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")
	}
	l := config.Listener{Protocol: protocol}
	if l.TLS() {
		conf, err := c.tls()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.Dialer((&tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: conf}).DialContext))
	}
	if l.SASL() {
		login, err := c.login()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.SASL(login))
	}
	return opts, nil
}

// pem returns what the property, or else the file that the other property names, holds.
func (c *commandConfig) pem(inline, location, kind string) ([]byte, error) {
	if text := c.props[inline]; text != "" {
		return []byte(text), nil
	}
	file := c.props[location]
	if file == "" {
		return nil, nil
	}
	b, err := os.ReadFile(file)
	switch {
	case err != nil:
		return nil, c.wrong(location, "%v", err)
	case !strings.Contains(string(b), "-----BEGIN "):
		return nil, c.wrong(location, "%s is no PEM file; have it exported as one, and say %s=PEM", file, kind)
	}
	return b, nil
}

func (c *commandConfig) tls() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	trusted, err := c.pem("ssl.truststore.certificates", "ssl.truststore.location", "ssl.truststore.type")
	if err != nil {
		return nil, err
	}
	if trusted != nil {
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(trusted) {
			return nil, c.wrong("ssl.truststore.location", "there is no certificate in it")
		}
	}
	own, err := c.pem("ssl.keystore.certificate.chain", "ssl.keystore.location", "ssl.keystore.type")
	if err != nil {
		return nil, err
	}
	if own != nil {
		key := own
		if text := c.props["ssl.keystore.key"]; text != "" {
			key = []byte(text)
		}
		pair, err := tls.X509KeyPair(own, key)
		if err != nil {
			return nil, c.wrong("ssl.keystore.location", "%v; a private key with a password cannot be read", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	if algorithm, given := c.props["ssl.endpoint.identification.algorithm"]; given && algorithm == "" {
		conf.InsecureSkipVerify = true // of the name alone:
		conf.VerifyConnection = func(state tls.ConnectionState) error { return verifyChain(state, conf.RootCAs) }
	}
	return conf, nil
}

// verifyChain looks whether a server's certificate is one to believe, whatever its name.
func verifyChain(state tls.ConnectionState, roots *x509.CertPool) error {
	between := x509.NewCertPool()
	for _, cert := range state.PeerCertificates[1:] {
		between.AddCert(cert)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
	return err
}

// login returns the mechanism of sasl.mechanism, with what sasl.jaas.config says.
func (c *commandConfig) login() (sasl.Mechanism, error) {
	mechanism := strings.ToUpper(c.props["sasl.mechanism"])
	switch mechanism {
	case config.Plain, config.ScramSHA256, config.ScramSHA512:
	case "":
		return nil, c.wrong("sasl.mechanism", "it is not given; want PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
	default:
		return nil, c.wrong("sasl.mechanism", "these tools know PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512")
	}
	options, err := jaas(c.props["sasl.jaas.config"])
	switch {
	case err != nil:
		return nil, c.wrong("sasl.jaas.config", "%v", err)
	case options["username"] == "" || options["password"] == "":
		return nil, c.wrong("sasl.jaas.config", `want … required username="NAME" password="SECRET";`)
	case mechanism == config.Plain:
		return plain.Auth{User: options["username"], Pass: options["password"]}.AsMechanism(), nil
	}
	auth := scram.Auth{User: options["username"], Pass: options["password"], IsToken: strings.EqualFold(options["tokenauth"], "true")}
	if mechanism == config.ScramSHA256 {
		return auth.AsSha256Mechanism(), nil
	}
	return auth.AsSha512Mechanism(), nil
}

// jaas returns the options of a line CLASS required NAME="VALUE" …;
func jaas(line string) (map[string]string, error) {
	options := map[string]string{}
	rest := strings.TrimSpace(line)
	class, rest, _ := strings.Cut(rest, " ")
	if ext := path.Ext(class); ext != ".PlainLoginModule" && ext != ".ScramLoginModule" {
		return nil, fmt.Errorf("want a PlainLoginModule or a ScramLoginModule")
	}
	rest = strings.TrimSpace(rest)
	for _, flag := range []string{"required", "requisite", "sufficient", "optional"} {
		rest = strings.TrimPrefix(rest, flag+" ")
	}
	for {
		rest = strings.TrimSpace(rest)
		if rest == "" || rest == ";" {
			return options, nil
		}
		name, after, ok := strings.Cut(rest, "=")
		if !ok {
			return nil, fmt.Errorf("an option without a value")
		}
		after = strings.TrimSpace(after)
		end := strings.IndexAny(after, " \t;")
		value := after
		if after != "" && (after[0] == '"' || after[0] == '\'') {
			if end = strings.IndexByte(after[1:], after[0]); end < 0 {
				return nil, fmt.Errorf("a quote is not closed")
			}
			value, rest = after[1:1+end], after[end+2:]
		} else if end >= 0 {
			value, rest = after[:end], after[end:]
		} else {
			rest = ""
		}
		options[strings.TrimSpace(name)] = value
	}
}
