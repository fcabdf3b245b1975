package parity

import (
	"strings"

	"sluice/wire/batch"
)

var _ = add(map[string]func(*script){
	"records-kept": recordsKept,
})

// recordsKept: what is in a record comes back as it went in, whatever the broker does to the batch.
func recordsKept(s *script) {
	rich := func(codec batch.Codec) []byte {
		b := batch.NewBuilder(batch.Options{Codec: codec})
		b.Add(batch.Record{Timestamp: t0, Key: []byte("k"), Value: []byte("v"), Headers: []batch.Header{{Key: "a", Value: []byte("1")}, {Key: "a", Value: []byte("2")}, {Key: "", Value: nil}}})
		b.Add(batch.Record{Timestamp: t0 + 5, Key: []byte{}, Value: []byte{}})
		b.Add(batch.Record{Timestamp: t0 - 5, Key: []byte("tombstone"), Value: nil})
		b.Add(batch.Record{Timestamp: t0 + 9, Key: []byte("long"), Value: []byte(strings.Repeat("x", 3000))})
		return b.Bytes()
	}
	codecs := []batch.Codec{batch.None, batch.Gzip, batch.Snappy, batch.LZ4, batch.Zstd}
	for _, t := range []struct {
		name    string
		configs []string
	}{
		{"plain", nil}, {"to-gzip", []string{"compression.type", "gzip"}}, {"to-snappy", []string{"compression.type", "snappy"}}, {"to-zstd", []string{"compression.type", "zstd", "compression.zstd.level", "1"}},
		{"stamped", []string{"message.timestamp.type", "LogAppendTime", "compression.type", "lz4"}}, {"compact", []string{"cleanup.policy", "compact", "compression.type", "uncompressed"}},
		{"small", []string{"max.message.bytes", "1000"}}, {"small-lz4", []string{"max.message.bytes", "1000", "compression.type", "uncompressed"}},
	} {
		topic := s.create(t.name, 1, t.configs...)
		for _, codec := range codecs {
			s.ask(codec.String()+" to "+t.name, 9, s.produceOf(topic, -1, rich(codec)))
		}
		s.ask("read "+t.name, 12, s.fetchOf(topic, from(0, 0)))
		s.ask("offsets of "+t.name, 7, listOf(topic, -1))
		s.ask("start of "+t.name, 7, listOf(topic, -2))
		if t.name != "stamped" { // several may have the same millisecond
			s.ask("newest of "+t.name, 7, listOf(topic, -3))
		}
		s.ask("time of "+t.name, 7, listOf(topic, t0+6))
	}
}
