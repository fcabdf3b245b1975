package parity

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"slices"
	"time"

	"sluice/wire/batch"
	"sluice/wire/msg"
)

var _ = add(map[string]func(*script){
	"produce":            produceVersions,
	"produce-wrong":      produceWrong,
	"produce-batches":    produceBadBatches,
	"produce-idempotent": produceIdempotent,
	"produce-wrap":       produceSequences,
	"produce-configs":    produceConfigs,
	"produce-timestamps": produceTimestamps,
	"produce-codecs":     produceCodecs,
	"produce-acks0":      produceWithoutAnswer,
})

func produceVersions(s *script) {
	topic := s.create("t", 2)
	s.versions(msg.KeyProduce, func(v int16) {
		s.ask("all", v, s.produceOf(topic, -1, values("a", "b"), values("c")))
		s.ask("leader only", v, s.produceOf(topic, 1, values("d")))
		s.ask("unknown partition", v, s.produceOf(topic, -1, values("a"), values("b"), values("c")))
		s.ask("unknown topic", v, s.produceOf(s.topic("unknown"), -1, values("a")))
		s.ask("acks 2", v, s.produceOf(topic, 2, values("a")))
	})
	s.ask("what is there", 13, s.fetchOf(topic, from(0, 0), from(1, 0)))
}

func produceWrong(s *script) {
	topic, twiceIn := s.create("t", 1), s.create("twice", 1)
	for _, v := range []int16{3, 9, 12, 13} {
		s.ask("nothing", v, s.produceOf(topic, -1, []byte{}))
		s.ask("no topics", v, &msg.ProduceRequest{Acks: -1, TimeoutMs: 1000})
		s.ask("no partitions", v, s.produceOf(topic, -1))
		s.ask("acks -2", v, s.produceOf(topic, -2, values("a")))
		s.ask("illegal name", v, s.produceOf("not a name!", -1, values("a")))
		s.ask("empty name", v, s.produceOf("", -1, values("a")))
		twice := s.produceOf(twiceIn, -1, values("a"))
		twice.TopicData[0].PartitionData = append(twice.TopicData[0].PartitionData, msg.ProduceRequestPartitionProduceData{Index: 0, Records: values("b")})
		s.ask("a partition twice", v, twice)
		mixed := s.produceOf(topic, -1, values("a"))
		mixed.TopicData = append(mixed.TopicData, s.produceOf(s.topic("unknown"), -1, values("a")).TopicData...)
		s.ask("one known, one not", v, mixed)
		negative := s.produceOf(topic, -1, values("a"))
		negative.TopicData[0].PartitionData[0].Index = -1
		s.ask("partition -1", v, negative)
		s.ask("internal topic", v, s.produceOf("__consumer_offsets", -1, values("a")))
	}
	s.ask("what is there", 12, s.fetchOf(topic, from(0, 0)))
}

// changed returns a batch with some bytes changed, and the CRC made right again.
func changed(b []byte, fn func([]byte)) []byte {
	b = bytes.Clone(b)
	fn(b)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// magic1 is a message of the format of old.
func magic1(magic byte) []byte {
	body := []byte{magic, 0}
	if magic == 1 {
		body = binary.BigEndian.AppendUint64(body, uint64(t0))
	}
	body = append(body, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 'x')
	b := make([]byte, 8)
	b = binary.BigEndian.AppendUint32(b, uint32(4+len(body)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(body))
	return append(b, body...)
}

func produceBadBatches(s *script) {
	topic := s.create("t", 1, "max.message.bytes", "2000")
	good := values("one", "two")
	bad := map[string][]byte{
		"wrong crc":            func() []byte { b := bytes.Clone(good); b[len(b)-1] ^= 1; return b }(),
		"magic 0":              magic1(0),
		"magic 1":              magic1(1),
		"magic 3":              changed(good, func(b []byte) { b[16] = 3 }),
		"two batches":          slices.Concat(good, good),
		"cut short":            good[:len(good)-3],
		"header only":          good[:61],
		"a few bytes":          good[:10],
		"bytes behind":         append(bytes.Clone(good), 1, 2, 3),
		"too large":            values(string(make([]byte, 2000))),
		"control batch":        changed(good, func(b []byte) { b[22] |= 0x20 }),
		"count too large":      changed(good, func(b []byte) { b[60] = 3 }),
		"count too small":      changed(good, func(b []byte) { b[60] = 1 }),
		"count 0":              changed(good, func(b []byte) { b[60] = 0 }),
		"negative count":       changed(good, func(b []byte) { b[57] = 0xff }),
		"last delta too large": changed(good, func(b []byte) { b[26] = 9 }),
		"last delta too small": changed(good, func(b []byte) { b[26] = 0 }),
		"base offset 7":        changed(good, func(b []byte) { b[7] = 7 }),
		"log append time":      changed(good, func(b []byte) { b[22] |= 8 }),
		"transactional":        recordsOf(batch.Options{Idempotent: true, ProducerID: 4711, Transactional: true}, t0, "x"),
		"delete horizon":       changed(good, func(b []byte) { b[22] |= 0x40 }),
		"unused attributes":    changed(good, func(b []byte) { b[21] |= 0x80 }),
		"unknown codec":        changed(good, func(b []byte) { b[22] |= 5 }),
		"garbled records":      changed(good, func(b []byte) { b[61] = 0x7f }),
		"length 0":             changed(good, func(b []byte) { binary.BigEndian.PutUint32(b[8:], 0) }),
		"negative length":      changed(good, func(b []byte) { binary.BigEndian.PutUint32(b[8:], 0xffffffff) }),
		"max timestamp wrong":  changed(good, func(b []byte) { binary.BigEndian.PutUint64(b[35:], uint64(t0+1000)) }),
		"id without sequence":  recordsOf(batch.Options{Idempotent: true, ProducerID: 4711, ProducerEpoch: 0, BaseSequence: -1}, t0, "x"),
		"sequence without id":  recordsOf(batch.Options{Idempotent: true, ProducerID: -1, ProducerEpoch: 0, BaseSequence: 0}, t0, "x"),
	}
	names := make([]string, 0, len(bad))
	for name := range bad {
		names = append(names, name)
	}
	slices.Sort(names)
	odd := s.create("odd", 1) // for what the brokers do not agree about
	for _, v := range []int16{3, 7, 8, 12} {
		for _, name := range names {
			s.ask(name, v, s.produceOf(topic, -1, bytes.Clone(bad[name])))
		}
		s.ask("not gzip", v, s.produceOf(odd, -1, changed(good, func(b []byte) { b[22] |= 1 })))
		s.ask("id without epoch", v, s.produceOf(odd, -1, recordsOf(batch.Options{Idempotent: true, ProducerID: 4711, ProducerEpoch: -1}, t0, "x")))
	}
	s.ask("what is there", 12, s.fetchOf(topic, from(0, 0)))
}

// producer makes batches of an idempotent producer.
type producer struct {
	s     *script
	topic string
	id    int64
}

func (s *script) producer(topic string) *producer {
	var answer *msg.InitProducerIdResponse
	for range 100 { // Kafka asks its controller for ids when it needs the first one
		answer = s.tell(4, &msg.InitProducerIdRequest{TransactionTimeoutMs: 60_000, ProducerId: -1, ProducerEpoch: -1}).(*msg.InitProducerIdResponse)
		if answer.ErrorCode == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if answer.ErrorCode != 0 {
		s.fatalf("init producer id: %d", answer.ErrorCode)
	}
	return &producer{s: s, topic: topic, id: answer.ProducerId}
}

func (p *producer) send(name string, epoch int16, sequence int32, vs ...string) {
	opt := batch.Options{Idempotent: true, ProducerID: p.id, ProducerEpoch: epoch, BaseSequence: sequence}
	p.s.ask(name, 9, p.s.produceOf(p.topic, -1, recordsOf(opt, t0, vs...)))
}

func produceIdempotent(s *script) {
	p := s.producer(s.create("t", 1))
	p.send("first", 0, 0, "a", "b")
	p.send("second", 0, 2, "c")
	p.send("the first again", 0, 0, "a", "b")
	p.send("the second again", 0, 2, "c")
	p.send("gap", 0, 5, "x")
	p.send("overlap", 0, 1, "b", "c")
	p.send("part of the first", 0, 0, "a")
	p.send("more than the first", 0, 0, "a", "b", "c")
	for i := range int32(5) {
		p.send("next", 0, 3+i, "n")
	}
	p.send("the sixth last", 0, 2, "c")
	p.send("the fifth last", 0, 3, "n")
	p.send("the last", 0, 7, "n")
	p.send("epoch 1 from sequence 8", 1, 8, "x")
	p.send("epoch 1 from sequence 0", 1, 0, "y")
	p.send("epoch 0 again", 0, 8, "x")
	p.send("epoch 0, a duplicate", 0, 7, "n")
	p.send("epoch 1 again", 1, 0, "y")
	p.send("epoch 1, second", 1, 1, "z")
	p.send("epoch 3", 3, 0, "z")
	q := s.producer(p.topic)
	q.send("an unknown one from sequence 10", 0, 10, "q")
	q.send("and its next", 0, 11, "q")
	q.send("from 0", 0, 0, "q")
	r := &producer{s: s, topic: p.topic, id: 999_999}
	r.send("an id nobody gave out", 5, 0, "r")
	s.ask("what is there", 11, s.fetchOf(p.topic, from(0, 0)))
}

func produceSequences(s *script) {
	p := s.producer(s.create("t", 1))
	p.send("near the end", 0, math.MaxInt32-1, "a", "b")
	p.send("wrapped", 0, 0, "c")
	p.send("the end again", 0, math.MaxInt32-1, "a", "b")
	q := s.producer(p.topic)
	q.send("near the end", 0, math.MaxInt32-1, "a")
	q.send("over the end", 0, math.MaxInt32, "a", "b", "c")
	q.send("again", 0, math.MaxInt32, "a", "b", "c")
	q.send("next", 0, 2, "d")
	s.ask("what is there", 11, s.fetchOf(p.topic, from(0, 0)))
}

func produceConfigs(s *script) {
	compacted := s.create("compacted", 1, "cleanup.policy", "compact")
	both := s.create("both", 1, "cleanup.policy", "compact,delete")
	appendTime := s.create("append-time", 1, "message.timestamp.type", "LogAppendTime")
	b := batch.NewBuilder(batch.Options{})
	for i, key := range []string{"k", "", "l", ""} {
		r := batch.Record{Timestamp: t0, Value: []byte{byte('a' + i)}}
		if key != "" {
			r.Key = []byte(key)
		}
		b.Add(r)
	}
	noKeys := b.Bytes()
	for _, v := range []int16{3, 7, 8, 13} {
		s.ask("no key, compacted", v, s.produceOf(compacted, -1, bytes.Clone(noKeys)))
		s.ask("no key, compacted and deleted", v, s.produceOf(both, -1, bytes.Clone(noKeys)))
		s.ask("keys, compacted", v, s.produceOf(compacted, -1, values("a", "b")))
		s.ask("append time", v, s.produceOf(appendTime, -1, values("a", "b")))
	}
	for _, topic := range []string{compacted, both, appendTime} {
		s.ask("what is there", 11, s.fetchOf(topic, from(0, 0)))
	}
	p := s.producer(appendTime)
	p.send("append time", 0, 0, "a")
	p.send("append time, again", 0, 0, "a")
}

func produceTimestamps(s *script) {
	narrow := s.create("narrow", 1, "message.timestamp.before.max.ms", "600000", "message.timestamp.after.max.ms", "600000")
	plain := s.create("plain", 1)
	appendTime := s.create("append-time", 1, "message.timestamp.type", "LogAppendTime", "message.timestamp.before.max.ms", "1000")
	now := time.Now().UnixMilli()
	times := map[string]int64{"old": t0, "now": now, "in two hours": now + 7_200_000, "in a minute": now + 60_000, "none": -1, "zero": 0, "negative": -5}
	for _, when := range []string{"old", "now", "in two hours", "in a minute", "none", "zero", "negative"} {
		for _, v := range []int16{7, 9} {
			for _, topic := range []string{narrow, plain, appendTime} {
				s.ask(when+" to "+topic, v, s.produceOf(topic, -1, recordsOf(batch.Options{}, times[when], "a", "b")))
			}
		}
	}
	b := batch.NewBuilder(batch.Options{})
	for _, ts := range []int64{now, t0, now, now + 7_200_000} {
		b.Add(batch.Record{Timestamp: ts, Value: []byte("x")})
	}
	s.ask("some of a batch", 9, s.produceOf(narrow, -1, b.Bytes()))
}

func produceCodecs(s *script) {
	plain := s.create("plain", 1)
	lz4 := s.create("lz4", 1, "compression.type", "lz4")
	raw := s.create("raw", 1, "compression.type", "uncompressed")
	codecs := map[string]batch.Codec{"none": batch.None, "gzip": batch.Gzip, "snappy": batch.Snappy, "lz4": batch.LZ4, "zstd": batch.Zstd}
	for _, v := range []int16{3, 6, 7, 9} {
		for _, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
			for _, topic := range []string{plain, lz4, raw} {
				s.ask(name+" to "+topic, v, s.produceOf(topic, -1, recordsOf(batch.Options{Codec: codecs[name]}, t0, "a", "b", "c")))
			}
		}
	}
	for _, v := range []int16{4, 9, 10, 12} {
		for _, topic := range []string{plain, lz4, raw} {
			s.ask("read "+topic, v, s.fetchOf(topic, from(0, 0)))
		}
	}
}

// produceWithoutAnswer sends with acks 0 and asks for something else on the same connection: it has been closed if the batch was
// refused.
func produceWithoutAnswer(s *script) {
	topic := s.create("t", 1)
	quiet := func(name string, req *msg.ProduceRequest) {
		if _, err := s.on().Send(9, req); err != nil {
			s.fatalf("%s: %v", name, err)
		}
		s.ask("after "+name, 4, metadataOf(topic))
		time.Sleep(50 * time.Millisecond) // what was not acknowledged is there soon
	}
	quiet("a good batch", s.produceOf(topic, 0, values("a")))
	quiet("an unknown topic", s.produceOf(s.topic("unknown"), 0, values("a")))
	bad := values("b")
	bad[len(bad)-1] ^= 1
	quiet("a wrong CRC", s.produceOf(topic, 0, bad))
	quiet("another good batch", s.produceOf(topic, 0, values("c")))
	quiet("no topics", &msg.ProduceRequest{TimeoutMs: 1000})
	s.ask("what is there", 11, s.fetchOf(topic, from(0, 0)))
}
