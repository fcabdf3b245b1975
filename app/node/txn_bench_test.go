package node

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/base"
	"sluice/base/config"
	"sluice/storage/objstore"
	"sluice/storage/objstore/fault"
)

// distantBrokers starts brokers whose bucket, and the WAL in it, is 50 ms away.
func distantBrokers(b *testing.B, n, putsPerSecond int) []*Node {
	name := "mem://txns-" + base.NewUUID().Hex()
	inner, err := objstore.Open(b.Context(), name, objstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	store := fault.New(inner, 1, fault.Rule{Name: "far", Effect: fault.Nothing, Delay: 50 * time.Millisecond})
	var nodes []*Node
	for range n {
		var set []config.Value
		for k, v := range map[string]string{"bucket": name, "wal": "s3", "wal-s3-puts-per-second": fmt.Sprint(putsPerSecond), "admin": "off", "memory": "256MiB", "data": b.TempDir(),
			"listen": "127.0.0.1:0", "offsets.topic.num.partitions": "3", "transaction.state.log.num.partitions": "3", "group.initial.rebalance.delay.ms": "0"} {
			set = append(set, config.Value{Name: k, Text: v, From: "test"})
		}
		cfg, err := config.Resolve(set)
		if err != nil {
			b.Fatal(err)
		}
		node, err := Start(b.Context(), Options{Config: cfg, Store: store, Hostname: "localhost", Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			node.Shutdown(ctx)
		})
		nodes = append(nodes, node)
	}
	return nodes
}

// oneTxn writes a record to each of some partitions, commits an offset, and ends: what a program does that copies in transactions.
func oneTxn(ctx context.Context, cl *kgo.Client, id, topic string, partitions int32) error {
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	failed := kgo.AbortingFirstErrPromise(cl)
	for p := range partitions {
		cl.Produce(ctx, &kgo.Record{Topic: topic, Partition: p, Value: []byte("value")}, failed.Promise())
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	if err := failed.Err(); err != nil {
		return err
	}
	pid, epoch, err := cl.ProducerID(ctx)
	if err != nil {
		return err
	}
	for {
		req := kmsg.NewPtrTxnOffsetCommitRequest()
		req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch, req.Generation = id, id, pid, epoch, -1
		t := kmsg.NewTxnOffsetCommitRequestTopic()
		t.Topic = topic
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		t.Partitions = append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
		res, err := req.RequestWith(ctx, cl)
		if err != nil {
			return err
		}
		err = kerr.ErrorForCode(res.Topics[0].Partitions[0].ErrorCode)
		if err == nil {
			break
		}
		if !kerr.IsRetriable(err) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return cl.EndTransaction(ctx, kgo.TryCommit)
}

// BenchmarkTransactionsInTheBucket commits transactions one after the other, with the WAL in a bucket that takes 50 ms.
func BenchmarkTransactionsInTheBucket(b *testing.B) {
	for _, brokers := range []int{1, 3} {
		for _, puts := range []int{4, 50} {
			for _, producers := range []int{1, 8} {
				b.Run(fmt.Sprintf("brokers=%d/puts=%d/producers=%d", brokers, puts, producers), func(b *testing.B) {
					nodes := distantBrokers(b, brokers, puts)
					client := func(id string) *kgo.Client {
						cl, err := kgo.NewClient(kgo.SeedBrokers(nodes[0].Info().Kafka), kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()))
						if err != nil {
							b.Fatal(err)
						}
						b.Cleanup(cl.Close)
						return cl
					}
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
					defer cancel()
					var clients []*kgo.Client
					for i := range producers {
						clients = append(clients, client(fmt.Sprint("id-", i)))
					}
					if _, err := kadm.NewClient(clients[0]).CreateTopics(ctx, 4, 1, nil, "out"); err != nil {
						b.Fatal(err)
					}
					for i, cl := range clients { // the internal topics are made, the first epoch is given
						if err := oneTxn(ctx, cl, fmt.Sprint("id-", i), "out", 4); err != nil {
							b.Fatal(err)
						}
					}
					var mu sync.Mutex
					var took []time.Duration
					b.ResetTimer()
					var all sync.WaitGroup
					for i, cl := range clients {
						all.Go(func() {
							for range b.N {
								began := time.Now()
								if err := oneTxn(ctx, cl, fmt.Sprint("id-", i), "out", 4); err != nil {
									b.Error(err)
									return
								}
								mu.Lock()
								took = append(took, time.Since(began))
								mu.Unlock()
							}
						})
					}
					all.Wait()
					b.StopTimer()
					slices.Sort(took)
					b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "txns/s")
					b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
					b.ReportMetric(float64(took[len(took)*99/100].Milliseconds()), "p99-ms")
				})
			}
		}
	}
}
