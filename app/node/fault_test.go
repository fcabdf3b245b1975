package node

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/base"
	"sluice/storage/objstore/fault"
)

// An outage of the bucket is backpressure: producers wait when the WAL cache is full, consumers and group members go on, and when
// the bucket is back so is everything.
func TestBucketOutage(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "memory=64MiB", "wal-cache=4MiB", "upload-bytes=512KiB")
	store := fault.New(c.store, 1)
	c.store = store
	c.start()
	c.createTopic("held", 2)
	producer := c.client(kgo.ProducerBatchMaxBytes(64<<10), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(100_000))
	c.produce(producer, "held", 0, 100)
	member := c.client(append(reader("held"), kgo.ConsumerGroup("watchers"), kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(100*time.Millisecond))...)
	c.wantEach(c.consume(member, 100), 0, 100)

	out := fault.Outage()
	out.Name = "outage"
	store.SetRules(out)
	var acked, failed atomic.Int64
	const records = 8000 // of 1 KiB: twice what the cache holds
	for i := range records {
		v := fmt.Sprintf("value-%06d", 100+i)
		producer.Produce(c.ctx(), &kgo.Record{Topic: "held", Key: []byte(v), Value: []byte(v), Headers: []kgo.RecordHeader{{Key: "pad", Value: make([]byte, 1000)}}}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Add(1)
			}
			acked.Add(1)
		})
	}
	seen := c.consume(member, 500) // what the WAL took is read while the bucket is away
	if n := acked.Load(); n == records {
		t.Error("nobody had to wait although the cache was full")
	}
	store.SetRules()
	if err := producer.Flush(c.ctx()); err != nil || failed.Load() > 0 {
		t.Fatalf("flush: %v, %d records failed", err, failed.Load())
	}
	if store.Fired("outage") == 0 {
		t.Fatal("the outage never happened")
	}
	for v, n := range c.consume(member, records-len(seen)) {
		seen[v] += n
	}
	c.wantEach(seen, 100, records)
	c.crash()
	c.start()
	c.wantEach(c.consume(c.client(reader("held")...), records+100), 0, records+100)
}

// TestShutdownInAnOutage: whoever stops a broker gives it a time, and when that is over it ends, also when everything waits for a bucket that
// does not answer: appends of clients and of coordinators in a WAL in the bucket, uploads, metadata. A broker that has failed waits for nothing.
func TestShutdownInAnOutage(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"file", "s3", "file failed", "s3 failed"} {
		t.Run(name, func(t *testing.T) {
			wal, _, failed := strings.Cut(name, " ")
			var set []string
			if wal == "s3" {
				set = append(set, "wal=s3")
			}
			c := newCluster(t, set...)
			store := fault.New(c.store, 1)
			c.store = store
			c.start()
			c.createTopic("held", 2)
			cl := c.client()
			c.produce(cl, "held", 0, 100)
			member := c.client(append(reader("held"), kgo.ConsumerGroup("watchers"), kgo.DisableAutoCommit())...)
			c.wantEach(c.consume(member, 100), 0, 100)

			out := fault.Outage()
			out.Name = "outage"
			store.SetRules(out)
			go member.CommitUncommittedOffsets(c.ctx())
			cl.Produce(c.ctx(), &kgo.Record{Topic: "held", Value: []byte("late")}, nil)
			_, _ = kadm.NewClient(cl).CreateTopic(c.within(time.Second), 1, 1, nil, "never")

			if failed {
				c.node.fail(base.Errorf(base.Failed, "the test says so"))
			}
			ended := make(chan error, 1)
			go func() { ended <- c.node.Shutdown(c.within(time.Second)) }()
			select {
			case err := <-ended:
				if err == nil && !failed {
					t.Error("everything was uploaded, without a bucket")
				}
				c.node = nil
			case <-time.After(time.Minute):
				buf := make([]byte, 1<<20)
				t.Fatalf("still shutting down after a minute:\n%s", buf[:runtime.Stack(buf, true)])
			}
			if store.Fired("outage") == 0 {
				t.Fatal("the outage never happened")
			}
			store.SetRules()
			c.start()
			seen := c.consume(c.client(reader("held")...), 100)
			delete(seen, "late") // acknowledged by a WAL that needs no bucket
			c.wantEach(seen, 0, 100)
		})
	}
}

// Every put of the bucket that may have happened is found out about: answers that are lost cost nothing but time.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "wal=s3", "wal-s3-puts-per-second=1000")
	store := fault.New(c.store, 2, fault.Rule{Name: "lost", Op: fault.Put, Prob: 0.2, Effect: fault.LoseAnswer}, fault.Rule{Name: "late", Op: fault.Put, Prob: 0.1, Effect: fault.Late})
	c.store = store
	c.start()
	c.createTopic("unsure", 2)
	for round := range 5 {
		c.produce(c.client(), "unsure", round*100, 100)
		store.Deliver(c.ctx(), store.Pending())
	}
	if store.Fired("lost") == 0 || store.Fired("late") == 0 {
		t.Fatal("no fault happened")
	}
	c.wantEach(c.consume(c.client(reader("unsure")...), 500), 0, 500)
	c.crash()
	c.start()
	c.wantEach(c.consume(c.client(reader("unsure")...), 500), 0, 500)
}

// A block that was durable and cannot be read stops the start, and the message says where it lies.
func TestDamagedWALStopsTheStart(t *testing.T) {
	dir := t.TempDir()
	c := newCluster(t, "data="+dir, "wal=file://"+dir+"/wal?segment=1MiB&capacity=16MiB", "upload-interval=1h")
	c.start()
	c.createTopic("hurt", 1)
	for round := range 20 {
		c.produce(c.client(), "hurt", round, 1)
	}
	c.crash()
	segments, _ := filepath.Glob(filepath.Join(dir, "wal", "*-*", "*seg*"))
	if len(segments) == 0 {
		t.Fatalf("no segments in %s", dir)
	}
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(b), "value-000003")
	if at < 0 {
		t.Fatal("the record is not in the first segment")
	}
	b[at] ^= 1
	if err := os.WriteFile(segments[0], b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := c.open(); !base.IsKind(err, base.Corrupt) || !strings.Contains(err.Error(), filepath.Base(segments[0])) || !strings.Contains(err.Error(), "offset") {
		t.Fatalf("start: %v, kind %v", err, base.KindOf(err))
	}
	b[at] ^= 1
	if err := os.WriteFile(segments[0], b, 0o644); err != nil {
		t.Fatal(err)
	}
	c.start()
	c.wantEach(c.consume(c.client(reader("hurt")...), 20), 0, 20)
}
