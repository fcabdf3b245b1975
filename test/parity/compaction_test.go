package parity

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/test/broker"
	"sluice/test/twin"
	"sluice/wire/batch"
	"sluice/wire/msg"
)

// TestCompaction writes the same batches to a topic of both brokers, has it compacted, and compares what is left: the records with their offsets,
// and the batches around them. Kafka compacts a segment when the next one has been begun, so a record with a later time ends the segment.
//
// What each broker keeps without records differs and is not compared: Kafka the last batch of every producer, whose state would be lost with it.
func TestCompaction(t *testing.T) {
	both := [2]*twin.Target{{Name: "kafka"}, {Name: "sluice"}}
	both[0].Addr = twin.StartKafka(t, "log.cleaner.backoff.ms=200")
	sluice := broker.Start(t, broker.Options{Args: []string{"--log-cleaner-backoff-ms", "200", "--upload-interval", "100ms", "--offsets-topic-num-partitions", "1"}})
	both[1].Addr = sluice.Addr
	for _, b := range both {
		if err := b.Await(twin.StartMax); err != nil {
			t.Fatalf("%s: %v", b.Name, err)
		}
	}
	at := time.Now().UnixMilli() // the same for both
	settled := [2]func(*script){func(*script) {}, func(s *script) { awaitUploaded(s, sluice.Admin) }}
	var left [2]compacted
	var errs [2]error
	var wg sync.WaitGroup
	for i, b := range both {
		wg.Go(func() {
			_, errs[i] = run("compaction", func(s *script) { left[i] = compactionScript(s, at, settled[i]) }, b)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, pair := range map[string][2][]string{
		"records after one pass": {left[0].records, left[1].records}, "batches after one pass": {left[0].batches, left[1].batches},
		"values after two passes": {left[0].later, left[1].later},
	} {
		if !slices.Equal(pair[0], pair[1]) {
			t.Errorf("%s differ:\n%s", name, difference(pair[0], pair[1]))
		}
		t.Logf("%s: %d lines", name, len(pair[0]))
	}
}

// awaitUploaded waits until the WAL holds nothing that is not uploaded: what is not is left to the next pass, and the test wants one.
func awaitUploaded(s *script, admin string) {
	for deadline := time.Now().Add(twin.StartMax); ; time.Sleep(50 * time.Millisecond) {
		res, err := http.Get("http://" + admin + "/metrics")
		if err != nil {
			s.fatalf("%v", err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		switch {
		case err != nil:
			s.fatalf("%v", err)
		case bytes.Contains(text, []byte("\nsluice_stream_unuploaded_bytes 0\n")):
			return
		case time.Now().After(deadline):
			s.fatalf("what was written is not uploaded in %s", twin.StartMax)
		}
	}
}

// compacted is what is left of a topic.
type compacted struct{ records, batches, later []string }

func compactionScript(s *script, at int64, settled func(*script)) (left compacted) {
	topic := s.create("t", 1, "cleanup.policy", "delete", "min.cleanable.dirty.ratio", "0.01", "segment.ms", "500", "delete.retention.ms", "1")
	rnd := rand.New(rand.NewPCG(7, 7))
	sequence := map[int64]int32{}
	write := func(name string, ts int64, batches int) {
		for i := range batches {
			answer := s.tell(9, s.produceOf(topic, -1, randomBatch(rnd, sequence, ts))).(*msg.ProduceResponse)
			if code := answer.Responses[0].PartitionResponses[0].ErrorCode; code != 0 {
				s.fatalf("%s, batch %d: error %d", name, i, code)
			}
		}
		end := batch.NewBuilder(batch.Options{})
		end.Add(batch.Record{Timestamp: ts + 2000, Key: []byte("the end of " + name), Value: []byte("v")})
		s.tell(9, s.produceOf(topic, -1, end.Bytes()))
	}
	write("the first part", at, 120)
	settled(s)
	s.tell(1, &msg.IncrementalAlterConfigsRequest{Resources: []msg.IncrementalAlterConfigsRequestAlterConfigsResource{{ResourceType: 2, ResourceName: topic,
		Configs: []msg.IncrementalAlterConfigsRequestAlterableConfig{{Name: "cleanup.policy", Value: ptr("compact")}}}}})
	first := s.awaitCompacted(topic, nil)
	left.records, left.batches = first.lines(true), first.headers()
	tombstones := first.tombstones()
	if len(tombstones) == 0 {
		s.fatalf("no tombstone was kept")
	}
	write("the second part", at+4000, 60)
	left.later = s.awaitCompacted(topic, tombstones).lines(false)
	return left
}

// randomBatch makes a batch of a few records, of one of three producers or none, in any codec.
func randomBatch(rnd *rand.Rand, sequence map[int64]int32, at int64) []byte {
	id := int64(9000 + rnd.IntN(4))
	opt := batch.Options{Codec: batch.Codec(rnd.IntN(5)), Idempotent: id != 9003, ProducerID: id, BaseSequence: sequence[id]}
	b := batch.NewBuilder(opt)
	for i := range 1 + rnd.IntN(6) {
		r := batch.Record{Timestamp: at + int64(rnd.IntN(400)), Key: fmt.Append(nil, "key-", rnd.IntN(60)), Value: fmt.Append(nil, "value-", rnd.Uint64()), Headers: []batch.Header{{Key: "h", Value: []byte{byte(i)}}}}
		if rnd.IntN(4) == 0 {
			r.Value = nil
		}
		b.Add(r)
		sequence[id]++
	}
	return b.Bytes()
}

// dump is a partition as it is read from its start.
type dump []batch.Batch

// awaitCompacted waits until every key but the last record's is there once, and none of the tombstones.
func (s *script) awaitCompacted(topic string, tombstones map[int64]bool) dump {
	for deadline := time.Now().Add(twin.StartMax); ; time.Sleep(200 * time.Millisecond) {
		d := s.dump(topic)
		why := d.notCompacted(tombstones)
		if why == "" {
			return d
		}
		if time.Now().After(deadline) {
			s.fatalf("not compacted in %s: %s", twin.StartMax, why)
		}
	}
}

func (s *script) dump(topic string) (d dump) {
	for next := int64(0); ; {
		got := s.tell(11, s.fetchOf(topic, from(0, next))).(*msg.FetchResponse).Responses[0].Partitions[0]
		if got.ErrorCode != 0 {
			s.fatalf("fetch at %d: error %d", next, got.ErrorCode)
		}
		for raw := bytes.Join(got.Records, nil); len(raw) > 0; {
			b, rest, err := batch.Parse(raw)
			if err != nil { // the last one is cut
				break
			}
			if err := b.Check(); err != nil {
				s.fatalf("batch at %d: %v", b.BaseOffset(), err)
			}
			d, raw, next = append(d, b), rest, b.NextOffset()
		}
		if next >= got.HighWatermark {
			return d
		}
		if len(got.Records) == 0 {
			s.fatalf("nothing at %d, the high watermark is %d", next, got.HighWatermark)
		}
	}
}

func (d dump) each(fn func(b batch.Batch, offset int64, r batch.Record)) {
	for _, b := range d {
		for r, err := range b.Records(batch.Limits{}) {
			if err != nil {
				panic(err)
			}
			fn(b, b.BaseOffset()+int64(r.OffsetDelta), r)
		}
	}
}

func (d dump) notCompacted(tombstones map[int64]bool) (why string) {
	seen := map[string]int64{}
	d.each(func(_ batch.Batch, at int64, r batch.Record) {
		if old, ok := seen[string(r.Key)]; ok {
			why = fmt.Sprintf("%s is at %d and %d", r.Key, old, at)
		}
		if seen[string(r.Key)] = at; tombstones[at] {
			why = fmt.Sprintf("the tombstone at %d is still there", at)
		}
	})
	return why
}

func (d dump) tombstones() map[int64]bool {
	at := map[int64]bool{}
	d.each(func(_ batch.Batch, offset int64, r batch.Record) {
		if r.Value == nil {
			at[offset] = true
		}
	})
	return at
}

// lines shows the records; those without a value only if tombstones is set.
func (d dump) lines(tombstones bool) (out []string) {
	d.each(func(_ batch.Batch, at int64, r batch.Record) {
		if r.Value != nil || tombstones {
			out = append(out, fmt.Sprintf("%d: %s=%q at %d, headers %v", at, r.Key, r.Value, r.Timestamp, r.Headers))
		}
	})
	return out
}

// headers shows the batches with records.
func (d dump) headers() (out []string) {
	for _, b := range d {
		if b.NumRecords() == 0 {
			continue
		}
		first := "a horizon"
		if !b.HasDeleteHorizon() {
			first = fmt.Sprint(b.FirstTimestamp())
		}
		out = append(out, fmt.Sprintf("[%d, %d] %d records, %v, attributes %#x, from %s to %d, producer %d epoch %d sequence %d", b.BaseOffset(), b.LastOffset(), b.NumRecords(), b.Codec(),
			b.Attributes(), first, b.MaxTimestamp(), b.ProducerID(), b.ProducerEpoch(), b.BaseSequence()))
	}
	return out
}

// difference lists what only one side has.
func difference(kafka, sluice []string) (out string) {
	in := func(lines []string) map[string]bool {
		return maps.Collect(func(yield func(string, bool) bool) {
			for _, l := range lines {
				if !yield(l, true) {
					return
				}
			}
		})
	}
	k, s := in(kafka), in(sluice)
	for _, l := range kafka {
		if !s[l] {
			out += "\tkafka alone: " + l + "\n"
		}
	}
	for _, l := range sluice {
		if !k[l] {
			out += "\tsluice alone: " + l + "\n"
		}
	}
	return out
}
