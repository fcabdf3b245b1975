//go:build unix

package node

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/etcdtest"
)

func TestMetadataInEtcd(t *testing.T) { testMetaPlace(t, etcdtest.URL("cluster", etcdtest.Start(t))) }

// Answers of etcd are lost: every command is found out about, by reading its slot back.
func TestEtcdLosesAnswers(t *testing.T) {
	t.Parallel()
	proxy := etcdtest.StartProxy(t, etcdtest.Start(t), 2)
	proxy.LoseAnswers(0.3)
	testMetaPlace(t, "etcd://"+proxy.Client+"/cluster")
	if n := proxy.Lost(); n < 5 {
		t.Fatalf("only %d answers were lost", n)
	}
}

// etcd is killed under a broker that is written to: commands wait, producers wait when the WAL cache is full, and when etcd is back so is
// everything, the broker with the same epoch.
func TestEtcdOutage(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t)
	c := newCluster(t, "meta="+etcdtest.URL("cluster", server), "memory=64MiB", "wal-cache=4MiB", "upload-bytes=512KiB", "data="+t.TempDir())
	self := c.start().self
	c.createTopic("held", 2)
	producer := c.client(kgo.ProducerBatchMaxBytes(64<<10), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(100_000))
	c.produce(producer, "held", 0, 100)

	server.Kill()
	created := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := kadm.NewClient(c.client(kgo.RetryTimeout(time.Minute))).CreateTopic(ctx, 3, 1, nil, "late")
		created <- err
	}()
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
	c.consume(c.client(reader("held")...), 600) // what the WAL took is read while etcd is away
	if n := acked.Load(); n == records {
		t.Error("nobody had to wait although the cache was full")
	}
	select {
	case err := <-created:
		t.Errorf("a topic was created without etcd: %v", err)
	default:
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := producer.Flush(c.ctx()); err != nil || failed.Load() > 0 {
		t.Fatalf("flush: %v, %d records failed", err, failed.Load())
	}
	if err := <-created; err != nil {
		t.Errorf("the topic that was asked for meanwhile: %v", err)
	}
	if err := c.node.Err(); err != nil || c.node.self != self {
		t.Fatalf("the broker: %v, %v, was %v", err, c.node.self, self)
	}
	c.wantEach(c.consume(c.client(reader("held")...), records+100), 0, records+100)
	server.Kill() // together with the broker
	c.crash()
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.start()
	c.wantEach(c.consume(c.client(reader("held")...), records+100), 0, records+100)
	if topics, err := kadm.NewClient(c.client()).ListTopics(c.ctx(), "late"); err != nil || len(topics["late"].Partitions) != 3 {
		t.Errorf("topic late: %+v, %v", topics["late"], err)
	}
}
