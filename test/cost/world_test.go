package cost

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/app/node"
	"sluice/base/config"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/ledger"
)

// world is a cluster on a clock of its own.
type world struct {
	t     *testing.T
	net   *network
	store driver.Store
	nodes []*node.Node
	set   []string
}

// run runs f in a world with so many brokers. Settings are NAME=VALUE.
func run(t *testing.T, brokers int, settings []string, f func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: newNetwork(), store: newBucket(), set: settings}
		defer w.close()
		for range brokers {
			w.start()
		}
		f(w)
	})
}

func (w *world) start() *node.Node {
	w.t.Helper()
	name := strings.NewReplacer("/", "-", " ", "-").Replace(w.t.Name())
	set := append([]string{"bucket=mem://" + name, "wal=s3", "listen=127.0.0.1:0", "admin=off", "offsets.topic.num.partitions=3"}, w.set...)
	var values []config.Value
	for _, kv := range set {
		k, v, _ := strings.Cut(kv, "=")
		values = append(values, config.Value{Name: k, Text: v, From: "test"})
	}
	cfg, err := config.Resolve(values)
	if err != nil {
		w.t.Fatal(err)
	}
	n, err := node.Start(w.t.Context(), node.Options{
		Config: cfg, Store: w.store, Listen: w.net.Listen, Dial: w.net.Dial, Hostname: "localhost",
		Logger: slog.New(slog.NewTextHandler(logged{w.t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.nodes = append(w.nodes, n)
	return n
}

// restart ends the only broker in order and starts it again.
func (w *world) restart() {
	w.t.Helper()
	w.close()
	w.nodes = nil
	w.start()
}

func (w *world) close() {
	for _, n := range w.nodes {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if err := n.Shutdown(ctx); err != nil {
			w.t.Errorf("shutdown: %v", err)
		}
		cancel()
	}
}

type logged struct{ t *testing.T }

func (l logged) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (w *world) client(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	opts = append([]kgo.Opt{
		kgo.SeedBrokers(w.nodes[0].Info().Kafka), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(5), // the client holds a lock while it waits for a producer id, and such a wait stops the clock
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.Dialer(func(ctx context.Context, _, addr string) (net.Conn, error) { return w.net.Dial(ctx, addr) }),
	}, opts...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	return cl
}

func (w *world) createTopic(cl *kgo.Client, name string, partitions int) {
	w.t.Helper()
	if _, err := kadm.NewClient(cl).CreateTopic(w.t.Context(), int32(partitions), -1, nil, name); err != nil {
		w.t.Fatal(err)
	}
}

// counted is what all brokers have counted so far.
func (w *world) counted() ledger.Period {
	var all []ledger.Period
	for _, n := range w.nodes {
		all = append(all, n.Ledger().Report().Total)
	}
	return ledger.Merge(all...)
}

// load is records of one size at a steady rate, one after the other to all partitions of a topic.
type load struct {
	topic      string
	partitions int
	record     int // bytes
	perSecond  int // bytes
}

// produce runs the load for a time, in ticks of 20 ms, and waits for the last acknowledgement.
func (w *world) produce(cl *kgo.Client, l load, from int, d time.Duration) (next int) {
	w.t.Helper()
	const tick = 20 * time.Millisecond
	value := make([]byte, l.record)
	failed := make(chan error, 1)
	due, sent := 0.0, 0
	for range int(d / tick) {
		for due += float64(l.perSecond) / float64(l.record) * tick.Seconds(); float64(sent) < due; sent++ {
			cl.Produce(w.t.Context(), &kgo.Record{Topic: l.topic, Partition: int32((from + sent) % l.partitions), Value: value}, func(_ *kgo.Record, err error) {
				if err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			})
		}
		time.Sleep(tick)
	}
	if err := cl.Flush(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	select {
	case err := <-failed:
		w.t.Fatal(err)
	default:
	}
	return from + sent
}
