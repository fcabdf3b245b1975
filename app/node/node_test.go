package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"sluice/base"
	"sluice/base/config"
	"sluice/storage/objstore"
	"sluice/storage/wal/disk"
	"sluice/wire/msg"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, // the S3 client keeps connections for the next one
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// cluster is a bucket and the brokers that a test starts on it, one after the other.
type cluster struct {
	t     *testing.T
	store objstore.Store
	set   []config.Value
	now   func() time.Time // of the brokers to start; nil: as it is
	log   io.Writer        // of the brokers to start; nil: the test's
	files disk.FS          // of the brokers to start; nil: the operating system's
	node  *Node
}

// newCluster makes an empty bucket in memory. Settings are NAME=VALUE.
func newCluster(t *testing.T, settings ...string) *cluster {
	t.Helper()
	name := strings.ReplaceAll(t.Name(), "/", "-") + "-" + base.NewUUID().Hex()
	store, err := objstore.Open(t.Context(), "mem://"+name, objstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, store: store}
	if !slices.ContainsFunc(settings, func(kv string) bool { return strings.HasPrefix(kv, "listeners=") }) {
		settings = append([]string{"listen=127.0.0.1:0"}, settings...)
	}
	settings = append([]string{"bucket=mem://" + name, "wal=mem://" + name, "admin=off", "memory=256MiB",
		"group.initial.rebalance.delay.ms=0", "offsets.topic.num.partitions=3", "upload-interval=50ms"}, settings...)
	for _, kv := range settings {
		k, v, _ := strings.Cut(kv, "=")
		if k == "" {
			continue
		}
		c.set = append(c.set, config.Value{Name: k, Text: v, From: "test"})
	}
	t.Cleanup(c.stop)
	return c
}

func (c *cluster) open() (*Node, error) {
	cfg, err := config.Resolve(c.set)
	if err != nil {
		c.t.Fatal(err)
	}
	to := io.Writer(testWriter{c.t})
	if c.log != nil {
		to = c.log
	}
	log := slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return Start(c.t.Context(), Options{Config: cfg, Store: c.store, Files: c.files, Hostname: "localhost", Now: c.now, Logger: log})
}

func (c *cluster) start() *Node {
	c.t.Helper()
	n, err := c.open()
	if err != nil {
		c.t.Fatal(err)
	}
	c.node = n
	return n
}

// stop shuts the broker down in order.
func (c *cluster) stop() {
	c.t.Helper()
	if c.node == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.node.Shutdown(ctx); err != nil {
		c.t.Errorf("shutdown: %v", err)
	}
	c.node = nil
}

// crash ends the broker without letting it do anything useful.
func (c *cluster) crash() {
	c.node.volumes.set.Abandon()
	c.node.abandon()
	c.node = nil
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

func (c *cluster) client(opts ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(c.node.Info().Kafka), kgo.RetryTimeout(20 * time.Second), kgo.MetadataMinAge(20 * time.Millisecond)}, opts...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	return cl
}

func (c *cluster) ctx() context.Context { return c.within(30 * time.Second) }

func (c *cluster) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	c.t.Cleanup(cancel)
	return ctx
}

func (c *cluster) createTopic(name string, partitions int32, configs ...string) {
	c.t.Helper()
	set := map[string]*string{}
	for _, kv := range configs {
		k, v, _ := strings.Cut(kv, "=")
		set[k] = &v
	}
	if _, err := kadm.NewClient(c.client()).CreateTopic(c.ctx(), partitions, 3, set, name); err != nil {
		c.t.Fatal(err)
	}
}

// produce writes the values from, from+1, … and returns when all are acknowledged.
func (c *cluster) produce(cl *kgo.Client, topic string, from, count int) {
	c.t.Helper()
	var failed error
	for i := range count {
		v := fmt.Sprintf("value-%06d", from+i)
		cl.Produce(c.ctx(), &kgo.Record{Topic: topic, Key: []byte(v), Value: []byte(v)}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err
			}
		})
	}
	if err := cl.Flush(c.ctx()); err != nil || failed != nil {
		c.t.Fatalf("produce: %v, %v", err, failed)
	}
}

// consume reads until it has so many records, and returns how often it saw each value.
func (c *cluster) consume(cl *kgo.Client, count int) map[string]int {
	c.t.Helper()
	seen := map[string]int{}
	for n := 0; n < count; {
		fetches := cl.PollFetches(c.ctx())
		if err := fetches.Err(); err != nil {
			c.t.Fatalf("after %d of %d records: %v", n, count, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			seen[string(r.Value)]++
			n++
		})
	}
	return seen
}

func (c *cluster) wantEach(seen map[string]int, from, count int) {
	c.t.Helper()
	if len(seen) != count {
		c.t.Fatalf("%d different values, want %d", len(seen), count)
	}
	for i := range count {
		if v := fmt.Sprintf("value-%06d", from+i); seen[v] != 1 {
			c.t.Fatalf("%s was seen %d times", v, seen[v])
		}
	}
}

func reader(topic string) []kgo.Opt {
	return []kgo.Opt{kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
}

func TestProduceAndConsume(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.createTopic("hello", 3)
	c.produce(c.client(), "hello", 0, 2000)
	c.wantEach(c.consume(c.client(reader("hello")...), 2000), 0, 2000)
}

func TestTopicsAreCreatedOnDemand(t *testing.T) {
	c := newCluster(t, "num.partitions=2")
	c.start()
	c.produce(c.client(kgo.AllowAutoTopicCreation()), "made", 0, 10)
	c.wantEach(c.consume(c.client(reader("made")...), 10), 0, 10)
	var resp msg.MetadataResponse
	name := "__cluster_metadata"
	c.dial().call(12, &msg.MetadataRequest{Topics: []msg.MetadataRequestMetadataRequestTopic{{Name: &name}}, AllowAutoTopicCreation: true}, &resp)
	if resp.Topics[0].ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("%+v", resp.Topics)
	}
	topics, err := kadm.NewClient(c.client()).ListTopics(c.ctx(), "made", "not-made", "bad name")
	if err != nil || len(topics["made"].Partitions) != 2 || !errors.Is(topics["not-made"].Err, kerr.UnknownTopicOrPartition) || !errors.Is(topics["bad name"].Err, kerr.InvalidTopicException) {
		t.Fatalf("%v %+v", err, topics)
	}
}

func TestAcknowledgedRecordsSurvive(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, wal string
		end       func(*cluster)
	}{
		{"shutdown with mem WAL", "", (*cluster).stop},
		{"crash with mem WAL", "", (*cluster).crash},
		{"shutdown with WAL in the bucket", "wal=s3", (*cluster).stop},
		{"crash with WAL in the bucket", "wal=s3", (*cluster).crash},
		{"crash with WAL in a directory", "wal=file://" + t.TempDir() + "?segment=1MiB&capacity=16MiB", (*cluster).crash},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCluster(t, "data="+t.TempDir(), "wal-s3-puts-per-second=1000", tc.wal)
			end := tc.end
			c.start()
			c.createTopic("kept", 4)
			for round := range 4 {
				c.produce(c.client(), "kept", round*300, 300)
				end(c)
				c.start()
				c.wantEach(c.consume(c.client(reader("kept")...), (round+1)*300), 0, (round+1)*300)
			}
		})
	}
}

func TestProducerGoesOnAcrossRestart(t *testing.T) {
	c := newCluster(t, "listen=127.0.0.1:0")
	c.start()
	c.set = append(c.set, config.Value{Name: "listen", Text: c.node.Info().Listen, From: "test"})
	c.createTopic("live", 2)
	producer := c.client(kgo.ProducerLinger(0))
	for round := range 3 {
		c.produce(producer, "live", round*100, 100)
		c.crash()
		c.start()
	}
	c.produce(producer, "live", 300, 100)
	c.wantEach(c.consume(c.client(reader("live")...), 400), 0, 400)
}

func TestGroupGoesOnWhereItStopped(t *testing.T) {
	c := newCluster(t)
	c.start()
	c.createTopic("shared", 6)
	c.produce(c.client(), "shared", 0, 500)
	member := func() *kgo.Client {
		return c.client(append(reader("shared"), kgo.ConsumerGroup("readers"), kgo.DisableAutoCommit())...)
	}
	first := member()
	c.wantEach(c.consume(first, 500), 0, 500)
	if err := first.CommitUncommittedOffsets(c.ctx()); err != nil {
		t.Fatal(err)
	}
	first.Close()
	c.crash()
	c.start()
	c.produce(c.client(), "shared", 500, 200)
	c.wantEach(c.consume(member(), 200), 500, 200)
	groups, err := kadm.NewClient(c.client()).Lag(c.ctx(), "readers")
	if err != nil || groups["readers"].State != "Stable" || groups["readers"].Lag.Total() != 200 {
		t.Fatalf("%v %+v", err, groups["readers"])
	}
}

func TestStartRefusesWhatCannotWork(t *testing.T) {
	c := newCluster(t)
	c.start()
	for _, tc := range []struct{ name, value, want string }{
		{"listen", c.node.Info().Listen, "is another broker running there"},
		{"listen", "256.1.1.1:1", "setting listen"},
	} {
		bad := *c
		bad.set = append(append([]config.Value{}, c.set...), config.Value{Name: "bucket", Text: "file://" + t.TempDir(), From: "test"},
			config.Value{Name: tc.name, Text: tc.value, From: "test"})
		cfg, err := config.Resolve(bad.set)
		if err == nil {
			_, err = Start(t.Context(), Options{Config: cfg})
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) || !base.IsKind(err, base.Invalid) {
			t.Errorf("%s = %s: %v", tc.name, tc.value, err)
		}
	}
}
