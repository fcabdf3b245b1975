package cases

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"sluice/test/authority"
	"sluice/test/broker"
	"sluice/test/twin"
	"sluice/wire/msg"
)

// What a program logs in with, over any listener but the plain one.
const (
	plainUser, plainPassword = "plain", "secret-of-plain"
	scramUser, scramPassword = "scram", "secret-of-scram"
	scramIterations          = 4096
)

// world is a broker and what programs are told of it: see doc.go.
type world struct {
	addr string
	env  []string
}

// startWorld starts Sluice and Apache Kafka with a plain listener, one for certificates, and two for logins, and with more settings.
func startWorld(t *testing.T, more []string) [2]world {
	t.Helper()
	a, strange := authority.New(t), authority.New(t)
	files := []string{
		"COMPAT_CA=" + filepath.Join(a.Dir, "ca.pem"), "COMPAT_OTHER_CA=" + filepath.Join(strange.Dir, "ca.pem"),
		"COMPAT_CERT=" + a.Issue("client.pem", "carol"), "COMPAT_OTHER_CERT=" + strange.Issue("client.pem", "carol"),
		"COMPAT_TOKEN=" + token(t, a, time.Hour), "COMPAT_OLD_TOKEN=" + token(t, a, -2*time.Minute), "COMPAT_OTHER_TOKEN=" + token(t, strange, time.Hour),
	}
	keys := a.JWKS()
	common := append([]string{
		"ssl.keystore.location=" + a.Issue("broker.pem", "broker"), "ssl.truststore.location=" + filepath.Join(a.Dir, "ca.pem"), "ssl.client.auth=required",
		"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
		"sasl.oauthbearer.jwks.endpoint.url=" + keys, "sasl.oauthbearer.expected.audience=sluice", "sasl.oauthbearer.expected.issuer=test",
	}, more...)
	// Kafka reads no keys but those that its process is allowed to.
	t.Setenv("JAVA_TOOL_OPTIONS", "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls="+keys+" -Dorg.apache.kafka.sasl.oauthbearer.allowed.files="+keys)
	var w [2]world
	for i, start := range []func(*testing.T, listeners, []string){startSluice, startKafka} {
		l := newListeners(t)
		w[i] = world{l.plain, append([]string{"COMPAT_SSL=" + l.ssl, "COMPAT_SASL_SSL=" + l.saslSSL, "COMPAT_SASL_PLAINTEXT=" + l.saslPlain}, files...)}
		settings := slices.Clone(common)
		if i == 0 {
			settings = append(settings, "sasl-users="+a.WriteText("users", []byte(plainUser+" = "+plainPassword+"\n")))
		}
		start(t, l, settings)
	}
	_ = os.Unsetenv("JAVA_TOOL_OPTIONS") // the programs say what they got otherwise
	for i, name := range []string{"sluice", "kafka"} {
		b := &twin.Target{Name: name, Addr: w[i].addr}
		if err := b.Await(twin.StartMax); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		addScram(t, w[i].addr)
	}
	return w
}

func token(t *testing.T, a *authority.Authority, lasting time.Duration) string {
	t.Helper()
	text, err := a.Token("dave", lasting)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// listeners are the addresses of a broker.
type listeners struct{ plain, controller, ssl, saslSSL, saslPlain string }

// newListeners finds free ports below those that the system gives to whoever asks for any, which could be taken before the brokers have started.
func newListeners(t *testing.T) listeners {
	t.Helper()
	const from, to, count = 12_000, 32_000, 5
	var all []string
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(from+rand.IntN(to-from)))
		if err != nil {
			continue
		}
		defer l.Close()
		if all = append(all, l.Addr().String()); len(all) == count {
			return listeners{all[0], all[1], all[2], all[3], all[4]}
		}
	}
	t.Fatal("no free ports")
	return listeners{}
}

func (l listeners) names() string {
	return "PLAINTEXT://" + l.plain + ",SSL://" + l.ssl + ",SASL_SSL://" + l.saslSSL + ",SASL_PLAINTEXT://" + l.saslPlain
}

func startSluice(t *testing.T, l listeners, settings []string) {
	t.Helper()
	args := []string{"--set", "listeners=" + l.names(), "--group-initial-rebalance-delay-ms", "0", "--offsets-topic-num-partitions", "1", "--transaction-state-log-num-partitions", "3"}
	for _, s := range settings {
		args = append(args, "--set", s)
	}
	broker.Start(t, broker.Options{Addr: l.plain, Many: true, Args: args})
}

func startKafka(t *testing.T, l listeners, settings []string) {
	t.Helper()
	more := append([]string{
		"transaction.state.log.num.partitions=3", "share.coordinator.state.topic.num.partitions=1",
		"listeners=" + l.names() + ",CONTROLLER://" + l.controller, "advertised.listeners=" + l.names(), "controller.quorum.voters=1@" + l.controller,
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
		"ssl.keystore.type=PEM", "ssl.truststore.type=PEM",
	}, settings...)
	const module = "org.apache.kafka.common.security."
	for _, name := range []string{"sasl_ssl", "sasl_plaintext"} {
		prefix := "listener.name." + name + "."
		more = append(more,
			prefix+"plain.sasl.jaas.config="+module+`plain.PlainLoginModule required user_`+plainUser+`="`+plainPassword+`";`,
			prefix+"scram-sha-256.sasl.jaas.config="+module+"scram.ScramLoginModule required;",
			prefix+"scram-sha-512.sasl.jaas.config="+module+"scram.ScramLoginModule required;",
			prefix+"oauthbearer.sasl.jaas.config="+module+"oauthbearer.OAuthBearerLoginModule required;",
			prefix+"oauthbearer.sasl.server.callback.handler.class="+module+"oauthbearer.OAuthBearerValidatorCallbackHandler")
	}
	k := twin.NewKafka(t, more...)
	k.Launch()
}

// addScram makes the user of SCRAM.
func addScram(t *testing.T, addr string) {
	t.Helper()
	c, err := twin.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	salt := []byte("sixteen bytes...")
	for mechanism, h := range map[int8]func() hash.Hash{1: sha256.New, 2: sha512.New} {
		salted, err := pbkdf2.Key(h, scramPassword, salt, scramIterations, h().Size())
		if err != nil {
			t.Fatal(err)
		}
		answer, err := c.Ask(0, &msg.AlterUserScramCredentialsRequest{Upsertions: []msg.AlterUserScramCredentialsRequestScramCredentialUpsertion{
			{Name: scramUser, Mechanism: mechanism, Iterations: scramIterations, Salt: salt, SaltedPassword: salted},
		}})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range answer.(*msg.AlterUserScramCredentialsResponse).Results {
			if r.ErrorCode != 0 {
				t.Fatalf("%s: SCRAM user: error %d", addr, r.ErrorCode)
			}
		}
	}
}
