package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/clients"
)

// Sizes of the compacted topic: keys of each writer, each of which writes to one partition.
const (
	compactedWriters = 3
	compactedKeys    = 40
)

// compacted is a topic of which only the newest record of each key is kept, and what it must hold.
type compacted struct {
	r       *timed
	writers []*clients.Reader

	mu    sync.Mutex
	model map[string]int64 // the newest value by key; -1: deleted
	sent  int64
}

func startCompacted(ctx context.Context, r *timed) *compacted {
	c := &compacted{r: r, model: map[string]int64{}}
	class := map[string]string{"file": "s3", "s3": "file"}[r.class] // so that both are in use from the beginning
	r.createWith(ctx, "compacted", compactedWriters, map[string]string{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.ms": "2000",
		"max.compaction.lag.ms": "4000", "delete.retention.ms": "3600000", "sluice.wal.class": class})
	for i := range int32(compactedWriters) {
		rnd := rand.New(rand.NewPCG(r.seed, 100+uint64(i)))
		c.writers = append(c.writers, r.producing("compacted", 15*time.Millisecond, func(client *kgo.Client) {
			key := fmt.Sprintf("%d-%d", i, rnd.IntN(compactedKeys))
			rec := &kgo.Record{Topic: "compacted", Partition: i, Key: []byte(key)}
			c.mu.Lock()
			c.sent++
			c.model[key] = c.sent
			if rnd.IntN(10) == 0 {
				c.model[key] = -1
			} else {
				rec.Value = strconv.AppendInt(nil, c.sent, 10)
			}
			c.mu.Unlock()
			client.Produce(context.Background(), rec, func(_ *kgo.Record, err error) {
				if err == nil {
					r.tl.Count("franz-go", "acknowledged with a key", 1)
				} else if !errors.Is(err, kgo.ErrClientClosed) {
					r.complainf("producer with keys: %v", err)
				}
			})
		}))
	}
	return c
}

// check compares what is there with the model.
func (c *compacted) check(ctx context.Context) {
	g := c.r.guarantee("G8")
	c.mu.Lock()
	defer c.mu.Unlock()
	newest, last, found := map[string]int64{}, map[int32]int64{}, int64(0)
	err := c.r.scan(ctx, "compacted", func(rec *kgo.Record) {
		found++
		if before, ok := last[rec.Partition]; ok && rec.Offset <= before {
			g.Wrongf("partition %d: offset %d follows offset %d", rec.Partition, rec.Offset, before)
		}
		last[rec.Partition] = rec.Offset
		v := int64(-1)
		if rec.Value != nil {
			var err error
			if v, err = strconv.ParseInt(string(rec.Value), 10, 64); err != nil {
				g.Wrongf("%s has the value %.40q", rec.Key, rec.Value)
			}
		}
		if before := newest[string(rec.Key)]; v > 0 && before > v {
			g.Wrongf("%s: value %d follows value %d", rec.Key, v, before)
		}
		newest[string(rec.Key)] = v
	})
	if err != nil {
		g.Wrongf("read: %v", err)
		return
	}
	for key, want := range c.model {
		if got, ok := newest[key]; got != want && (ok || want != -1) {
			g.Wrongf("%s is %d, want %d", key, got, want)
		}
	}
	g.Need("records written with a key", c.sent, 200)
	g.Need("of those compacted away", c.sent-found, c.sent/10)
}

// trimmedKept is how long the records of the trimmed topic are kept.
const trimmedKept = 8 * time.Second

// trimmed is a topic that loses its beginning: partition 0 by age, partition 1 because somebody says so.
type trimmed struct {
	r       *timed
	readers []*clients.Reader

	mu      sync.Mutex
	written [2]map[int64]time.Time // timestamps by offset, of what was acknowledged
	newest  int64                  // of partition 1
	start   [2]int64               // the log starts that somebody was told
	asked   int64                  // the highest offset below which all of partition 1 was to be deleted
	told    int64                  // and of those that were acknowledged
}

func startTrimmed(ctx context.Context, r *timed) *trimmed {
	t := &trimmed{r: r, written: [2]map[int64]time.Time{{}, {}}}
	r.createWith(ctx, "trimmed", 2, map[string]string{"retention.ms": fmt.Sprint(trimmedKept.Milliseconds())})
	if err := r.admin(func(adm *kadm.Client) error { // only partition 0 grows fast; partition 1 is trimmed by request before it is old
		_, err := adm.CreateTopic(ctx, 1, 1, map[string]*string{"retention.ms": kadm.StringPtr("-1")}, "cut")
		return err
	}); err != nil {
		r.t.Fatalf("create the topic cut: %v", err)
	}
	for i, topic := range []string{"trimmed", "cut"} {
		t.readers = append(t.readers, r.producing(topic, 20*time.Millisecond, func(client *kgo.Client) {
			now := time.Now().Truncate(time.Millisecond)
			client.Produce(context.Background(), &kgo.Record{Topic: topic, Partition: 0, Timestamp: now, Value: make([]byte, 200)}, func(rec *kgo.Record, err error) {
				if err != nil {
					return
				}
				t.mu.Lock()
				defer t.mu.Unlock()
				t.written[i][rec.Offset] = now
				if i == 1 {
					t.newest = max(t.newest, rec.Offset)
				}
			})
		}))
	}
	client, err := kgo.NewClient(r.Options(kgo.RetryTimeout(5 * time.Second))...)
	if err != nil {
		r.t.Fatal(err)
	}
	t.readers = append(t.readers, clients.Go(func(ctx context.Context) {
		defer client.Close()
		adm := kadm.NewClient(client)
		for n := 0; ctx.Err() == nil; n++ {
			t.watch(ctx, adm)
			if n%10 == 9 {
				t.cut(ctx, adm)
			}
			select {
			case <-time.After(300 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}))
	return t
}

// watch asks where the logs begin, and checks that what is gone was due.
func (t *trimmed) watch(ctx context.Context, adm *kadm.Client) {
	g := t.r.guarantee("G9")
	t.mu.Lock()
	low := t.told
	t.mu.Unlock()
	for i, topic := range []string{"trimmed", "cut"} {
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		listed, err := adm.ListStartOffsets(once, topic)
		cancel()
		o, ok := listed.Lookup(topic, 0)
		if err != nil || !ok || o.Err != nil {
			continue
		}
		now := time.Now()
		t.mu.Lock()
		if o.Offset < t.start[i] {
			g.Wrongf("%s begins at %d, and began at %d before", topic, o.Offset, t.start[i])
		}
		t.start[i] = max(t.start[i], o.Offset)
		if i == 0 {
			t.due(o.Offset, now)
		} else if o.Offset > t.asked || o.Offset < low {
			g.Wrongf("cut begins at %d; what lies below %d was to be deleted, and below %d that was acknowledged", o.Offset, t.asked, low)
		}
		t.mu.Unlock()
		t.r.tl.Count("log starts", "looked up", 1)
	}
}

// due checks that the newest records below an offset were old enough to go, and forgets what is gone.
func (t *trimmed) due(start int64, now time.Time) {
	for at := start - 1; at >= start-1000; at-- {
		ts, ok := t.written[0][at]
		if !ok {
			continue
		}
		if age := now.Sub(ts); age < trimmedKept {
			t.r.guarantee("G9").Wrongf("trimmed begins at %d, and the record at %d was written only %v before", start, at, age)
		}
		delete(t.written[0], at)
	}
}

// cut deletes most of what the other topic holds.
func (t *trimmed) cut(ctx context.Context, adm *kadm.Client) {
	t.mu.Lock()
	to := max(t.newest-50, t.told)
	t.asked = max(t.asked, to)
	t.mu.Unlock()
	once, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var o kadm.Offsets
	o.Add(kadm.Offset{Topic: "cut", Partition: 0, At: to})
	res, err := adm.DeleteRecords(once, o)
	if err != nil || res.Error() != nil {
		return
	}
	t.mu.Lock()
	t.told = max(t.told, to)
	t.mu.Unlock()
	t.r.tl.Count("operator", "deletions of records", 1)
}

// check reads what is left: nothing that was acknowledged and not due may be missing.
func (t *trimmed) check(ctx context.Context) {
	g := t.r.guarantee("G9")
	t.mu.Lock()
	defer t.mu.Unlock()
	there := map[int64]bool{}
	if err := t.r.scan(ctx, "cut", func(rec *kgo.Record) { there[rec.Offset] = true }); err != nil {
		g.Wrongf("read: %v", err)
		return
	}
	missing := 0
	for at := range t.written[1] {
		if at >= t.asked && !there[at] {
			missing++
		}
	}
	if missing > 0 {
		g.Wrongf("%d acknowledged records of the topic cut are gone, and nobody asked for that", missing)
	}
	g.Need("records deleted by age", t.start[0], 1)
	g.Need("records deleted on request", t.start[1], 1)
}

// createWith creates a topic with configurations.
func (r *timed) createWith(ctx context.Context, topic string, partitions int32, configs map[string]string) {
	set := map[string]*string{}
	for k, v := range configs {
		set[k] = &v
	}
	if err := r.admin(func(adm *kadm.Client) error {
		_, err := adm.CreateTopic(ctx, partitions, 1, set, topic)
		return err
	}); err != nil {
		r.t.Fatalf("create the topic %s: %v", topic, err)
	}
}

// producing runs a producer that never gives up, calls send every now and then, and sees to the rest when it is halted.
func (r *timed) producing(topic string, every time.Duration, send func(*kgo.Client)) *clients.Reader {
	client, err := kgo.NewClient(r.Options(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.StopProducerOnDataLossDetected(), kgo.UnknownTopicRetries(-1),
		kgo.ProduceRequestTimeout(10*time.Second))...)
	if err != nil {
		r.t.Fatal(err)
	}
	return clients.Go(func(ctx context.Context) {
		defer client.Close()
		for ctx.Err() == nil {
			if client.BufferedProduceRecords() < 500 {
				send(client)
			}
			select {
			case <-time.After(every):
			case <-ctx.Done():
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), finishWithin)
		defer cancel()
		if err := client.Flush(ctx); err != nil {
			r.complainf("liveness: the producer of %s: %v", topic, err)
		}
	})
}

// churn makes topics, gives them partitions and configurations, writes to them, and deletes them.
func (r *timed) churn() {
	rnd := rand.New(rand.NewPCG(r.seed, 200))
	client, err := kgo.NewClient(r.Options(kgo.RetryTimeout(5*time.Second), kgo.RecordDeliveryTimeout(5*time.Second))...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.readers = append(r.readers, clients.Go(func(ctx context.Context) {
		defer client.Close()
		adm := kadm.NewClient(client)
		for n := 0; ctx.Err() == nil; n++ {
			r.oneTopic(ctx, client, adm, fmt.Sprintf("churn-%d", n), rnd)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}))
}

// oneTopic is the life of a topic. Each step may fail, for brokers are away.
func (r *timed) oneTopic(ctx context.Context, client *kgo.Client, adm *kadm.Client, name string, rnd *rand.Rand) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	class := []string{"file", "s3"}[rnd.IntN(2)]
	done := func(what string, err error) {
		if err == nil {
			r.tl.Count("operator", what, 1)
		}
	}
	created, err := adm.CreateTopic(ctx, 1+rnd.Int32N(4), 1, map[string]*string{"sluice.wal.class": &class}, name)
	done("topics created", errors.Join(err, created.Err))
	for range 20 {
		client.Produce(ctx, &kgo.Record{Topic: name, Value: make([]byte, 1000)}, nil)
	}
	done("topics written to", client.Flush(ctx))
	_, err = adm.UpdatePartitions(ctx, 6, name)
	done("topics given partitions", err)
	_, err = adm.DeleteTopic(ctx, name)
	done("topics deleted", err)
}
