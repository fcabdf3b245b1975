package batch

import (
	"bytes"
	"testing"
)

func sample(codec Codec, records, valueBytes int) Batch {
	b := NewBuilder(Options{Codec: codec, Idempotent: true, ProducerID: 1})
	for i := range records {
		v := bytes.Repeat([]byte("some text that compresses; "), valueBytes/27+1)[:valueBytes]
		v[0] = byte(i)
		b.Add(Record{Timestamp: int64(i), Key: []byte("key"), Value: v})
	}
	return b.Batch()
}

// TestHotPathAllocatesNothing: what happens to every produced batch, and reading uncompressed records.
func TestHotPathAllocatesNothing(t *testing.T) {
	raw := sample(None, 100, 100).Bytes()
	if n := testing.AllocsPerRun(100, func() {
		b, _, err := Parse(raw)
		if err != nil || b.Check() != nil {
			t.Fatal("bad sample")
		}
		b.SetBaseOffset(5)
		b.SetLeaderEpoch(6)
		b.SetLogAppendTime(7)
		_, _ = b.ProducerID(), b.LastSequence()
	}); n != 0 {
		t.Errorf("stamping allocates %v times", n)
	}
	b, _, _ := Parse(raw)
	if n := testing.AllocsPerRun(100, func() {
		for r, err := range b.Records(Limits{}) {
			if err != nil || len(r.Value) != 100 {
				t.Fatal("bad record")
			}
		}
	}); n > 2 {
		t.Errorf("reading 100 records allocates %v times", n)
	}
}

func BenchmarkCheckAndStamp(b *testing.B) {
	raw := sample(None, 1000, 1024).Bytes()
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		one, _, err := Parse(raw)
		if err != nil || one.Check() != nil {
			b.Fatal("bad sample")
		}
		one.SetBaseOffset(5)
		one.SetLeaderEpoch(6)
	}
}

func BenchmarkRecords(b *testing.B) {
	for _, codec := range codecs {
		b.Run(codec.String(), func(b *testing.B) {
			one := sample(codec, 1000, 100)
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range one.Records(Limits{}) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	value := bytes.Repeat([]byte("x"), 100)
	builder := NewBuilder(Options{})
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		builder.Reset(Options{})
		for range 1000 {
			builder.Add(Record{Value: value})
		}
		dst = builder.AppendTo(dst[:0])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
}
