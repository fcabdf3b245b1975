package compat

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/broker"
	"sluice/test/twin"
	"sluice/wire/batch"
	"sluice/wire/msg"
)

// The programs of this test, compacted.* beside check.*, are started with `HOST:PORT TOPIC PARTITION:OFFSET...`. For each isolation level and each of the
// two partitions of the topic they speak lines:
//
//	read ISOLATION PARTITION OFFSET KEY VALUE   all records from offset 0 on, in order; a tombstone's VALUE is null
//	end ISOLATION PARTITION OFFSET              where the reader is when there is no more
//	seek ISOLATION PARTITION FROM OFFSET        for each offset of the arguments: the first record from there on, `end` if there is none
var compactedReaders = []struct {
	name    string
	command func() []string
}{
	{"java", func() []string { return []string{"java/compacted.sh"} }},
	{"confluent-kafka-python", func() []string {
		return []string{filepath.Join(broker.Root(), ".cache/venv/bin/python"), "python/compacted.py"}
	}},
}

// TestCompacted has clients read what key compaction has left. Both partitions are compacted up to an emptied batch, which is the end of partition 0; in
// partition 1 a tail follows that is not compacted. What must be there is known from what was written.
func TestCompacted(t *testing.T) {
	b := broker.Start(t, broker.Options{Args: []string{"--log-cleaner-backoff-ms", "100", "--upload-interval", "100ms"}})
	c := newCompactedTopic(t, b.Addr)
	for p := range c.logs {
		c.fill(p)
	}
	c.policy("compact")
	for p := range c.logs {
		c.awaitCompacted(p)
	}
	c.policy("delete") // nothing changes any more
	c.tail(1)
	for p := range c.logs {
		c.checkShape(p)
	}
	want := c.want()
	t.Logf("%d lines are expected, %d of them of seeks", len(want), 2*len(c.seeks()))
	t.Run("franz-go", func(t *testing.T) {
		t.Parallel()
		reads := slices.DeleteFunc(slices.Clone(want), func(line string) bool { return !strings.HasPrefix(line, "read ") })
		sameLines(t, c.readHere(t, len(reads)), reads)
	})
	for _, r := range compactedReaders {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			sameLines(t, c.readBy(t, r.command()), want)
		})
	}
}

// written is a record as it was sent.
type written struct {
	offset     int64
	key, value []byte
	aborted    bool
}

// compactedTopic is a topic of two partitions, and what was written to it.
type compactedTopic struct {
	t     *testing.T
	addr  string
	name  string
	plain []*kgo.Client // one for each codec
	txn   *kgo.Client
	logs  [2][]written
	ends  [2]int64 // of the parts that are to be compacted
}

func newCompactedTopic(t *testing.T, addr string) *compactedTopic {
	c := &compactedTopic{t: t, addr: addr, name: "compacted"}
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		c.plain = append(c.plain, c.client(t, kgo.ProducerBatchCompression(codec)))
	}
	c.txn = c.client(t, kgo.TransactionalID("compacted"), kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	configs := map[string]*string{}
	for name, value := range map[string]string{"cleanup.policy": "delete", "max.compaction.lag.ms": "1"} {
		configs[name] = &value
	}
	res, err := kadm.NewClient(c.plain[0]).CreateTopic(c.context(), int32(len(c.logs)), 1, configs, c.name)
	if err != nil || res.Err != nil {
		t.Fatal(err, res.Err)
	}
	return c
}

func (c *compactedTopic) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ManualFlushing())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func (c *compactedTopic) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), failoverPatience)
	c.t.Cleanup(cancel)
	return ctx
}

// write sends a batch: KEY=VALUE, KEY for a tombstone, =VALUE for a record without a key.
func (c *compactedTopic) write(cl *kgo.Client, p int, aborted bool, records ...string) {
	c.t.Helper()
	var all []*kgo.Record
	var failed error
	for _, text := range records {
		key, value, some := strings.Cut(text, "=")
		r := &kgo.Record{Topic: c.name, Partition: int32(p), Key: []byte(key)}
		if key == "" {
			r.Key = nil
		}
		if some {
			r.Value = []byte(value + strings.Repeat("-", 100)) // smaller in every codec
		}
		all = append(all, r)
		cl.Produce(c.context(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				failed = err
			}
		})
	}
	if err := cl.Flush(c.context()); err != nil || failed != nil {
		c.t.Fatal(err, failed)
	}
	for _, r := range all {
		c.logs[p] = append(c.logs[p], written{r.Offset, r.Key, r.Value, aborted})
	}
}

// transaction writes batches in a transaction and waits for its marker, which may follow the answer to its end: what is written next comes behind it.
func (c *compactedTopic) transaction(p int, commit kgo.TransactionEndTry, batches ...[]string) {
	c.t.Helper()
	if err := c.txn.BeginTransaction(); err != nil {
		c.t.Fatal(err)
	}
	for _, b := range batches {
		c.write(c.txn, p, !bool(commit), b...)
	}
	if err := c.txn.EndTransaction(c.context(), commit); err != nil {
		c.t.Fatal(err)
	}
	if !within(failoverPatience, func() bool { return c.stable(p) == c.end(p) }) {
		c.t.Fatalf("partition %d is stable up to %d, its end is %d", p, c.stable(p), c.end(p))
	}
}

// fill writes what is to be compacted. Batches are overwritten in part or as a whole, and the last one has no keys: nothing of it may stay.
func (c *compactedTopic) fill(p int) {
	for i := range 10 {
		var records []string
		for j := range 4 {
			records = append(records, fmt.Sprintf("k%d=of batch %d", (3*i+j)%12, i))
		}
		if i%2 == 0 {
			records = slices.Insert(records, 2, fmt.Sprintf("once-%d=stays", i))
		}
		c.write(c.plain[i%len(c.plain)], p, false, records...)
	}
	c.write(c.plain[2], p, false, "k2", "k7", "k8=after a tombstone")
	c.write(c.plain[0], p, false, "k7=after its tombstone", "never")
	c.transaction(p, kgo.TryAbort, []string{"k0=aborted", "once-0=aborted"}, []string{"once-2", "new=aborted"})
	c.transaction(p, kgo.TryCommit, []string{"k1=committed", "txn=first"}, []string{"once-4"})
	c.transaction(p, kgo.TryCommit, []string{"empty=first"})
	c.transaction(p, kgo.TryCommit, []string{"empty=second", "txn=second"})
	c.write(c.plain[4], p, false, "=without a key", "=another")
	c.ends[p] = c.end(p)
}

// tail writes what follows the compacted part.
func (c *compactedTopic) tail(p int) {
	c.write(c.plain[1], p, false, "k3=of the tail", "once-6", "k3=of the tail, again")
	c.transaction(p, kgo.TryCommit, []string{"k4=committed in the tail"})
	c.transaction(p, kgo.TryAbort, []string{"k4=aborted in the tail", "k5"})
}

// end is the end of a partition, and stable its last stable offset.
func (c *compactedTopic) end(p int) int64 {
	c.t.Helper()
	return c.offset(p, kadm.NewClient(c.plain[0]).ListEndOffsets)
}

func (c *compactedTopic) stable(p int) int64 {
	c.t.Helper()
	return c.offset(p, kadm.NewClient(c.plain[0]).ListCommittedOffsets)
}

func (c *compactedTopic) offset(p int, list func(context.Context, ...string) (kadm.ListedOffsets, error)) int64 {
	c.t.Helper()
	all, err := list(c.context(), c.name)
	if err != nil || all.Error() != nil {
		c.t.Fatal(err, all.Error())
	}
	o, ok := all.Lookup(c.name, int32(p))
	if !ok {
		c.t.Fatalf("no offset of partition %d", p)
	}
	return o.Offset
}

func (c *compactedTopic) policy(value string) {
	c.t.Helper()
	res, err := kadm.NewClient(c.plain[0]).AlterTopicConfigs(c.context(), []kadm.AlterConfig{{Name: "cleanup.policy", Value: &value}}, c.name)
	if err != nil || res[0].Err != nil {
		c.t.Fatal(err, res[0].Err)
	}
}

// left are the records that readers may and must see: in the compacted part the newest of every key.
func (c *compactedTopic) left(p int, committed bool) (left []written) {
	newest := map[string]int64{}
	for _, r := range c.logs[p] {
		if !r.aborted && r.key != nil && r.offset < c.ends[p] {
			newest[string(r.key)] = r.offset
		}
	}
	for _, r := range c.logs[p] {
		at, ok := newest[string(r.key)]
		if r.offset < c.ends[p] && ok && at == r.offset || r.offset >= c.ends[p] && !(committed && r.aborted) {
			left = append(left, r)
		}
	}
	return left
}

// seeks are the offsets of data that were compacted away.
func (c *compactedTopic) seeks() (all []string) {
	for p := range c.logs {
		left := c.left(p, false)
		for _, r := range c.logs[p] {
			if !slices.ContainsFunc(left, func(l written) bool { return l.offset == r.offset }) {
				all = append(all, fmt.Sprintf("%d:%d", p, r.offset))
			}
		}
	}
	return all
}

// want are the lines of a program that reads the topic rightly.
func (c *compactedTopic) want() (lines []string) {
	for _, isolation := range []string{"read_uncommitted", "read_committed"} {
		for p := range c.logs {
			left := c.left(p, isolation == "read_committed")
			for _, r := range left {
				lines = append(lines, readLine(isolation, int32(p), r.offset, r.key, r.value))
			}
			lines = append(lines, fmt.Sprintf("end %s %d %d", isolation, p, c.end(p)))
			for _, seek := range c.seeks() {
				var of int
				var from int64
				if _, err := fmt.Sscanf(seek, "%d:%d", &of, &from); err != nil {
					c.t.Fatal(err)
				}
				if of != p {
					continue
				}
				next := "end"
				if i := slices.IndexFunc(left, func(r written) bool { return r.offset >= from }); i >= 0 {
					next = fmt.Sprint(left[i].offset)
				}
				lines = append(lines, fmt.Sprintf("seek %s %d %d %s", isolation, p, from, next))
			}
		}
	}
	return lines
}

func readLine(isolation string, p int32, offset int64, key, value []byte) string {
	text := func(b []byte) string {
		if b == nil {
			return "null"
		}
		return string(b)
	}
	return fmt.Sprintf("read %s %d %d %s %s", isolation, p, offset, text(key), text(value))
}

// batches are those of a partition, as a fetch from offset 0 returns them.
func (c *compactedTopic) batches(p int) (all []batch.Batch) {
	c.t.Helper()
	conn, err := twin.Dial(c.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	for next, end := int64(0), c.end(p); next < end; {
		req, part := &msg.FetchRequest{}, msg.FetchRequestFetchPartition{}
		req.SetDefaults()
		part.SetDefaults()
		part.Partition, part.FetchOffset, part.PartitionMaxBytes = int32(p), next, 1<<20
		req.Topics = []msg.FetchRequestFetchTopic{{Topic: c.name, Partitions: []msg.FetchRequestFetchPartition{part}}}
		answer, err := conn.Ask(11, req)
		if err != nil {
			c.t.Fatal(err)
		}
		got := answer.(*msg.FetchResponse).Responses[0].Partitions[0]
		if got.ErrorCode != 0 || len(got.Records) == 0 {
			c.t.Fatalf("fetch at %d of %d: error %d, %d pieces", next, end, got.ErrorCode, len(got.Records))
		}
		before := next
		for raw := bytes.Join(got.Records, nil); len(raw) > 0; {
			b, rest, err := batch.Parse(raw)
			if err != nil { // the last one is cut
				break
			}
			all, raw, next = append(all, b), rest, b.NextOffset()
		}
		if next <= before {
			c.t.Fatalf("a fetch at %d of %d came to %d", before, end, next)
		}
	}
	return all
}

// lines shows the records of batches.
func (c *compactedTopic) lines(p int, batches []batch.Batch) (lines []string) {
	c.t.Helper()
	for _, b := range batches {
		if b.IsControl() {
			continue
		}
		for r, err := range b.Records(batch.Limits{}) {
			if err != nil {
				c.t.Fatal(err)
			}
			lines = append(lines, readLine("read_uncommitted", int32(p), b.BaseOffset()+int64(r.OffsetDelta), r.Key, r.Value))
		}
	}
	return lines
}

// awaitCompacted waits until nothing but what must stay is there. The data has to be in the bucket first, and may be compacted in several passes.
func (c *compactedTopic) awaitCompacted(p int) {
	c.t.Helper()
	var want, got []string
	for _, r := range c.left(p, false) {
		want = append(want, readLine("read_uncommitted", int32(p), r.offset, r.key, r.value))
	}
	if !within(failoverPatience, func() bool {
		got = c.lines(p, c.batches(p))
		return slices.Equal(got, want)
	}) {
		sameLines(c.t, got, want)
		c.t.Fatalf("partition %d is not compacted within %v", p, failoverPatience)
	}
}

// checkShape checks that the partition has what makes compacted topics hard to read.
func (c *compactedTopic) checkShape(p int) {
	c.t.Helper()
	codecs := map[batch.Codec]bool{}
	var emptied, horizons, tombstones, committed, aborts, gaps, holes int
	next := int64(0)
	for _, b := range c.batches(p) {
		if b.BaseOffset() > next {
			gaps++
		}
		next = b.NextOffset()
		if next > c.ends[p] {
			break
		}
		if m, ok := b.Marker(); ok && !m.Commit {
			aborts++
		}
		if b.NumRecords() == 0 && next == c.ends[p] {
			emptied++
		}
		if b.IsControl() || b.NumRecords() == 0 {
			continue
		}
		codecs[b.Codec()] = true
		if b.IsTransactional() {
			committed++
		}
		if b.HasDeleteHorizon() {
			horizons++
		}
		if b.LastOffsetDelta()+1 > b.NumRecords() {
			holes++
		}
		tombstones += strings.Count(strings.Join(c.lines(p, []batch.Batch{b}), "\n")+"\n", " null\n")
	}
	for what, n := range map[string]int{"emptied batch at the end": emptied, "batch with a delete horizon": horizons, "tombstone": tombstones, "committed batch": committed,
		"abort marker": aborts, "gap between batches": gaps, "gap within a batch": holes} {
		if n == 0 {
			c.t.Errorf("partition %d has no %s", p, what)
		}
	}
	if len(codecs) != len(c.plain) {
		c.t.Errorf("partition %d has batches in codecs %v alone", p, codecs)
	}
}

// readHere reads so many records with the client of this test.
func (c *compactedTopic) readHere(t *testing.T, count int) (lines []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), failoverPatience)
	defer cancel()
	for _, level := range []struct {
		name string
		of   kgo.IsolationLevel
	}{{"read_uncommitted", kgo.ReadUncommitted()}, {"read_committed", kgo.ReadCommitted()}} {
		for p := range c.logs {
			cl := c.client(t, kgo.FetchIsolationLevel(level.of), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.name: {int32(p): kgo.NewOffset().At(0)}}))
			left := c.left(p, level.name == "read_committed")
			for at := int64(-1); at < left[len(left)-1].offset; {
				fetches := cl.PollFetches(ctx)
				if err := fetches.Err(); err != nil {
					t.Fatalf("%v, %d of %d records", err, len(lines), count)
				}
				fetches.EachRecord(func(r *kgo.Record) {
					at = r.Offset
					lines = append(lines, readLine(level.name, r.Partition, r.Offset, r.Key, r.Value))
				})
			}
		}
	}
	return lines
}

// readBy runs a program and returns what it said.
func (c *compactedTopic) readBy(t *testing.T, command []string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), clientMax)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], slices.Concat(command[1:], []string{c.addr, c.name}, c.seeks())...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("the reader ended with %v, having printed\n%s", err, tail(stderr.Bytes(), 8<<10))
	}
	return strings.Split(strings.TrimSpace(stdout.String()), "\n")
}

// sameLines compares what was read with what had to be.
func sameLines(t *testing.T, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	first := 0
	for first < min(len(got), len(want)) && got[first] == want[first] {
		first++
	}
	show := func(lines []string) string { return strings.Join(lines[first:min(first+5, len(lines))], "\n\t") }
	t.Errorf("%d lines, want %d; they differ from line %d on:\n\t%s\nwant:\n\t%s", len(got), len(want), first, show(got), show(want))
}
