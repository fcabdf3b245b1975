package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/base"
)

// brokerFlags say which broker a client command speaks to.
type brokerFlags struct {
	BootstrapServer []string      `name:"bootstrap-server" short:"b" aliases:"bootstrap-servers,brokers" env:"SLUICE_BOOTSTRAP_SERVER" default:"127.0.0.1:9092" placeholder:"HOST:PORT" help:"Broker to connect to (default: 127.0.0.1:9092)."`
	CommandConfig   string        `name:"command-config" type:"path" env:"SLUICE_COMMAND_CONFIG" placeholder:"FILE" help:"Kafka client properties for TLS and login: security.protocol, sasl.mechanism, sasl.jaas.config, ssl.truststore.location and ssl.keystore.location (PEM)."`
	Timeout         time.Duration `default:"15s" help:"Give up when the broker has not answered for so long (default: 15s)."`
}

// client connects, and makes sure that a broker answers, so that a wrong address is said at once and in plain words.
func (f *brokerFlags) client(ctx context.Context, opts ...kgo.Opt) (*kgo.Client, error) {
	conf, err := readCommandConfig(f.CommandConfig)
	if err != nil {
		return nil, err
	}
	secure, err := conf.options()
	if err != nil {
		return nil, err
	}
	opts = append(append([]kgo.Opt{
		kgo.SeedBrokers(f.BootstrapServer...),
		kgo.ClientID("sluice-cli"),
		kgo.SoftwareNameAndVersion("sluice-cli", "1"),
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.RetryTimeout(f.Timeout),
	}, secure...), opts...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, base.Wrap(base.Invalid, err)
	}
	ping, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	if err := cl.Ping(ping); err != nil {
		cl.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, kerr.SaslAuthenticationFailed) {
			return nil, base.Errorf(base.Unavailable, "the broker at %s refuses the login: %w", strings.Join(f.BootstrapServer, ", "), innermost(err))
		}
		if hint := secureHint(err, len(secure) > 0); hint != "" {
			return nil, base.Errorf(base.Unavailable, "no broker answers at %s: %w; %s", strings.Join(f.BootstrapServer, ", "), innermost(err), hint)
		}
		return nil, base.Errorf(base.Unavailable, "no broker answers at %s: %w", strings.Join(f.BootstrapServer, ", "), innermost(err))
	}
	return cl, nil
}

// secureHint says what may be wrong with TLS or login where a broker closes the connection at once.
func secureHint(err error, secure bool) string {
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &notTLS):
		return "it speaks no TLS there: give security.protocol=PLAINTEXT or SASL_PLAINTEXT, or another port"
	case !secure && errors.Is(err, io.EOF), !secure && strings.Contains(err.Error(), "connection reset"):
		return "it may want TLS or a login: give --command-config"
	}
	return ""
}

// admin connects for a command that asks one or two questions.
func (f *brokerFlags) admin(ctx context.Context, do func(context.Context, *kadm.Client) error) error {
	cl, err := f.client(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	adm := kadm.NewClient(cl)
	adm.SetTimeoutMillis(int32(f.Timeout.Milliseconds()))
	return do(ctx, adm)
}

// innermost is the last error of a chain: what happened, without the layers it went through.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil || strings.TrimSpace(next.Error()) == "" {
			return err
		}
		if _, ok := err.(interface{ Timeout() bool }); ok {
			return err // a network error says with which address
		}
		err = next
	}
}

// table prints rows in aligned columns.
func table(w io.Writer, header string, rows func(row func(cells ...any))) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, strings.ReplaceAll(header, " ", "\t"))
	rows(func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, c)
		}
		fmt.Fprintln(tw)
	})
	return tw.Flush()
}

// keyValues reads the arguments k=v of a repeatable flag.
func keyValues(flag string, args []string) (map[string]*string, error) {
	out := map[string]*string{}
	for _, kv := range args {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return nil, base.Errorf(base.Invalid, "--%s %s: want NAME=VALUE", flag, kv)
		}
		out[k] = &v
	}
	return out, nil
}
