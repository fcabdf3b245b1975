package suite

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func produceCases() []Case {
	return []Case{
		{"produce/acks-all", func(t *T) { t.acks(-1) }},
		{"produce/acks-1", func(t *T) { t.acks(1) }},
		{"produce/acks-0", func(t *T) { t.acks(0) }},
		{"produce/offsets-of-answers", func(t *T) {
			topic := t.topic("", 1)
			for i := range 3 {
				got := t.produce(plain, numbered(topic, 0, i*10, 10)...)
				for j, r := range got {
					t.Equal("offset", r.Offset, int64(i*10+j))
				}
			}
		}},
		{"produce/many-in-order", func(t *T) {
			topic := t.topic("", 1)
			t.fill(topic, 0, 0, 5000)
			got := t.consume(topic, 0, Earliest, 5000)
			t.Equal("values", values(got), count(0, 5000))
			t.Equal("last offset", got[4999].Offset, int64(4999))
		}},
		{"produce/several-topics", func(t *T) {
			a, b := t.topic("a", 1), t.topic("b", 1)
			var rs []Record
			for i := range 100 {
				rs = append(rs, Record{Topic: []string{a, b}[i%2], Value: []byte(strconv.Itoa(i / 2))})
			}
			t.produce(plain, rs...)
			for _, topic := range []string{a, b} {
				t.Equal(topic, values(t.consume(topic, 0, Earliest, 50)), count(0, 50))
			}
		}},
		{"produce/binary-value", func(t *T) {
			topic := t.topic("", 1)
			all := make([]byte, 256)
			for i := range all {
				all[i] = byte(i)
			}
			t.produce(plain, Record{Topic: topic, Key: all, Value: all})
			got := t.consume(topic, 0, Earliest, 1)[0]
			t.True("every byte came back", bytes.Equal(got.Key, all) && bytes.Equal(got.Value, all))
		}},
	}
}

func (t *T) acks(acks int) {
	topic := t.topic("", 1)
	t.produce(Produce{Acks: acks}, numbered(topic, 0, 0, 50)...)
	t.Equal("values", values(t.consume(topic, 0, Earliest, 50)), count(0, 50))
}

func compressionCases() (all []Case) {
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		all = append(all, Case{"compression/" + codec, func(t *T) { t.codec(codec, 1000) }})
	}
	return append(all,
		Case{"compression/topic-recompresses", func(t *T) { t.codec("lz4", 300, "compression.type=zstd") }},
		Case{"compression/topic-uncompressed", func(t *T) { t.codec("gzip", 300, "compression.type=uncompressed") }},
		Case{"compression/mixed-codecs", func(t *T) {
			topic := t.topic("", 1)
			for i, codec := range []string{"gzip", "snappy", "lz4", "zstd", "none"} {
				t.produce(Produce{Acks: -1, Codec: codec}, numbered(topic, 0, i*20, 20)...)
			}
			t.Equal("values", values(t.consume(topic, 0, Earliest, 100)), count(0, 100))
		}},
		Case{"compression/from-the-middle-of-a-batch", func(t *T) {
			topic := t.topic("", 1)
			t.produce(Produce{Acks: -1, Codec: "gzip"}, numbered(topic, 0, 0, 100)...)
			got := t.consume(topic, 0, 37, 63)
			t.Equal("values", values(got), count(37, 63))
			t.Equal("first offset", got[0].Offset, int64(37))
		}},
	)
}

func (t *T) codec(codec string, n int, configs ...string) {
	topic := t.topic("", 1, configs...)
	var rs []Record
	for i := range n {
		rs = append(rs, Record{Topic: topic, Key: []byte(strconv.Itoa(i)), Value: []byte(strings.Repeat(fmt.Sprint("value ", i, " "), 20))})
	}
	t.produce(Produce{Acks: -1, Codec: codec}, rs...)
	for i, r := range t.consume(topic, 0, Earliest, n) {
		t.Equal("key", string(r.Key), strconv.Itoa(i))
		t.Equal("value", string(r.Value), string(rs[i].Value))
		t.Equal("offset", r.Offset, int64(i))
	}
}

// recordCases: headers, keys and sizes.
func recordCases() []Case {
	return []Case{
		{"headers/one", func(t *T) { t.headers(Header{"key", []byte("value")}) }},
		{"headers/repeated-keys-in-order", func(t *T) {
			t.headers(Header{"a", []byte("1")}, Header{"b", []byte("2")}, Header{"a", []byte("3")}, Header{"a", []byte("1")})
		}},
		{"headers/empty-value", func(t *T) { t.headers(Header{"empty", []byte{}}) }},
		{"headers/null-value", func(t *T) {
			topic := t.topic("", 1)
			t.produce(plain, Record{Topic: topic, Value: []byte("v"), Headers: []Header{{"null", nil}}})
			got := t.consume(topic, 0, Earliest, 1)[0].Headers
			t.True("one header without a value", len(got) == 1 && got[0].Key == "null" && len(got[0].Value) == 0)
		}},
		{"headers/unicode-and-bytes", func(t *T) { t.headers(Header{"ключ-鍵", []byte{0, 255, 128}}) }},
		{"headers/many", func(t *T) {
			var hs []Header
			for i := range 100 {
				hs = append(hs, Header{fmt.Sprint("h", i), []byte(strconv.Itoa(i))})
			}
			t.headers(hs...)
		}},
		{"keys-partitioning/null-value", func(t *T) {
			topic := t.topic("", 1)
			t.produce(plain, Record{Topic: topic, Key: []byte("k")}, Record{Topic: topic, Key: []byte("k"), Value: []byte("v")})
			got := t.consume(topic, 0, Earliest, 2)
			t.True("a null value", got[0].Value == nil && string(got[0].Key) == "k" && string(got[1].Value) == "v")
		}},
		{"keys-partitioning/null-key", func(t *T) {
			topic := t.topic("", 1)
			t.produce(plain, Record{Topic: topic, Value: []byte("v")})
			t.True("a null key", t.consume(topic, 0, Earliest, 1)[0].Key == nil)
		}},
		{"keys-partitioning/empty-value", func(t *T) {
			topic := t.topic("", 1)
			t.produce(plain, Record{Topic: topic, Key: []byte("k"), Value: []byte{}})
			got := t.consume(topic, 0, Earliest, 1)[0]
			t.True("an empty value that is not null", got.Value != nil && len(got.Value) == 0)
		}},
		{"large-messages/900-kilobytes", func(t *T) { t.large(900_000) }},
		{"large-messages/5-megabytes", func(t *T) { t.large(5_000_000, "max.message.bytes=6000000") }},
		{"large-messages/larger-than-fetch", func(t *T) {
			topic := t.topic("", 1)
			for i := range 3 {
				t.produce(Produce{Acks: -1, MaxBytes: 2_000_000}, Record{Topic: topic, Value: bytes.Repeat([]byte{byte('a' + i)}, 500_000)})
			}
			got, err := t.Client.Consume(t, Fetch{MaxBytes: 100_000}, topic, 0, Earliest, 3)
			t.Must("consume", err)
			for i, r := range got {
				t.True("its bytes", len(r.Value) == 500_000 && r.Value[0] == byte('a'+i) && r.Value[499_999] == byte('a'+i))
			}
		}},
	}
}

func (t *T) headers(want ...Header) {
	topic := t.topic("", 1)
	t.produce(plain, Record{Topic: topic, Value: []byte("v"), Headers: want})
	got := t.consume(topic, 0, Earliest, 1)[0].Headers
	same := slices.EqualFunc(got, want, func(a, b Header) bool { return a.Key == b.Key && bytes.Equal(a.Value, b.Value) })
	if !same {
		t.Fail("headers %s, want %s", short(got), short(want))
	}
}

func (t *T) large(size int, configs ...string) {
	topic := t.topic("", 1, configs...)
	value := make([]byte, size)
	for i := range value {
		value[i] = byte(i * 7)
	}
	t.produce(Produce{Acks: -1, MaxBytes: 8_000_000}, Record{Topic: topic, Value: value})
	got, err := t.Client.Consume(t, Fetch{MaxBytes: 8_000_000}, topic, 0, Earliest, 1)
	t.Must("consume", err)
	t.True("every byte came back", len(got) == 1 && bytes.Equal(got[0].Value, value))
}

var someKeys = []string{"21", "foobar", "a-little-bit-long-string", "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", "abc"}

func partitioningCases() []Case {
	return []Case{
		{"keys-partitioning/explicit-partition", func(t *T) {
			topic := t.topic("", 4)
			var rs []Record
			for p := range int32(4) {
				rs = append(rs, numbered(topic, p, int(p)*10, 10)...)
			}
			t.produce(plain, rs...)
			for p := range int32(4) {
				t.Equal("values", values(t.consume(topic, p, Earliest, 10)), count(int(p)*10, 10))
			}
		}},
		{"keys-partitioning/murmur2", func(t *T) {
			topic := t.topic("", 7)
			for _, key := range someKeys {
				got := t.produce(Produce{Acks: -1, Partitioner: "murmur2"}, Record{Topic: topic, Partition: AnyPartition, Key: []byte(key), Value: []byte(key)})
				want := int32(javaMurmur2([]byte(key))&0x7fffffff) % 7
				t.Equal("partition of "+key, got[0].Partition, want)
				t.Equal("value", values(t.consume(topic, want, got[0].Offset, 1)), []string{key})
			}
		}},
		{"keys-partitioning/same-key-same-partition", func(t *T) {
			topic := t.topic("", 5)
			var rs []Record
			for i := range 60 {
				rs = append(rs, Record{Topic: topic, Partition: AnyPartition, Key: []byte(strconv.Itoa(i % 20)), Value: []byte("v")})
			}
			got := t.produce(Produce{Acks: -1, Partitioner: "murmur2"}, rs...)
			used := map[int32]bool{}
			for i, r := range got {
				t.Equal("partition", r.Partition, got[i%20].Partition)
				used[r.Partition] = true
			}
			t.True("several partitions are used", len(used) > 2)
		}},
		{"keys-partitioning/round-robin", func(t *T) {
			topic := t.topic("", 3)
			var rs []Record
			for range 30 {
				rs = append(rs, Record{Topic: topic, Partition: AnyPartition, Value: []byte("v")})
			}
			used := map[int32]int{}
			for _, r := range t.produce(Produce{Acks: -1, Partitioner: "round-robin"}, rs...) {
				used[r.Partition]++
			}
			t.Equal("records in each partition", used, map[int32]int{0: 10, 1: 10, 2: 10})
		}},
	}
}

// javaMurmur2 is the hash of Kafka's default partitioner.
func javaMurmur2(data []byte) uint32 {
	const m, seed = 0x5bd1e995, 0x9747b28c
	h := uint32(seed) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		k := uint32(data[0]) | uint32(data[1])<<8 | uint32(data[2])<<16 | uint32(data[3])<<24
		k *= m
		k ^= k >> 24
		h = h*m ^ k*m
	}
	for i := len(data) - 1; i >= 0; i-- {
		h ^= uint32(data[i]) << (8 * i)
		if i == 0 {
			h *= m
		}
	}
	h ^= h >> 13
	h *= m
	return h ^ h>>15
}

func idempotenceCases() []Case {
	idempotent := Produce{Acks: -1, Idempotent: true}
	return []Case{
		{"idempotence/in-order", func(t *T) {
			topic := t.topic("", 1)
			t.produce(idempotent, numbered(topic, 0, 0, 3000)...)
			t.Equal("values", values(t.consume(topic, 0, Earliest, 3000)), count(0, 3000))
			t.Equal("end", t.offset(topic, 0, Latest, false), int64(3000))
		}},
		{"idempotence/sequence-of-the-producer", func(t *T) {
			topic := t.topic("", 2)
			t.produce(idempotent, append(numbered(topic, 0, 0, 100), numbered(topic, 1, 0, 7)...)...)
			for p, want := range []int32{99, 6} {
				got, err := t.Client.Producers(t, topic, int32(p))
				t.Must("describe producers", err)
				t.True("one producer that has no transaction", len(got) == 1 && got[0].TxnStart == -1 && got[0].Epoch == 0)
				t.Equal("last sequence", got[0].LastSequence, want)
			}
		}},
		{"idempotence/ids-are-different", func(t *T) {
			topic := t.topic("", 1)
			for i := range 3 {
				t.produce(idempotent, numbered(topic, 0, i*5, 5)...)
			}
			got, err := t.Client.Producers(t, topic, 0)
			t.Must("describe producers", err)
			ids := map[int64]bool{}
			for _, p := range got {
				ids[p.ID] = true
				t.Equal("last sequence", p.LastSequence, int32(4))
			}
			t.Equal("producers", len(ids), 3)
		}},
		{"idempotence/compressed", func(t *T) {
			topic := t.topic("", 1)
			t.produce(Produce{Acks: -1, Idempotent: true, Codec: "lz4"}, numbered(topic, 0, 0, 500)...)
			t.Equal("values", values(t.consume(topic, 0, Earliest, 500)), count(0, 500))
		}},
	}
}
