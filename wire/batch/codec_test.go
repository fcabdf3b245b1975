package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"sluice/base"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"
)

// TestJavaBatches reads batches that Apache Kafka's own MemoryRecordsBuilder (4.3.0) wrote.
func TestJavaBatches(t *testing.T) {
	for _, codec := range codecs {
		raw, err := os.ReadFile(fmt.Sprintf("testdata/java-%v.batch", codec))
		if err != nil {
			t.Fatal(err)
		}
		b, rest, err := Parse(raw)
		if err != nil || len(rest) != 0 || b.Check() != nil || b.Codec() != codec {
			t.Fatalf("%v: %v %v", codec, err, b.Check())
		}
		if b.BaseOffset() != 100 || b.LeaderEpoch() != 5 || b.ProducerID() != 4242 || b.ProducerEpoch() != 3 || b.BaseSequence() != 77 || b.LastSequence() != 77+299 || !b.IsTransactional() || b.IsControl() {
			t.Fatalf("%v: header", codec)
		}
		var want []Record
		for i := range int32(300) {
			r := Record{OffsetDelta: i, Timestamp: 1700000000000 + int64(i*37%1000), Key: fmt.Appendf(nil, "key-%d", i), Value: fmt.Appendf(nil, "value number %d abcabcabcabcabcabcabcabcabcabcabcabcabc", i)}
			if i%5 == 0 {
				r.Key = nil
			}
			if i%7 == 0 {
				r.Value = nil
			}
			if i%3 == 0 {
				r.Headers = []Header{{fmt.Sprintf("h%d", i), fmt.Appendf(nil, "hv%d", i)}, {"n", nil}}
			}
			want = append(want, r)
		}
		compareRecords(t, want, collect(t, b, Limits{}))
		if got, ok, err := b.MaxTimestampRecord(Limits{}); err != nil || !ok || got.Timestamp != b.MaxTimestamp() {
			t.Fatal(got, ok, err)
		}
	}
	raw, err := os.ReadFile("testdata/java-commit.batch")
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := Parse(raw)
	if err != nil || b.Check() != nil {
		t.Fatal(err, b.Check())
	}
	if m, ok := b.Marker(); !ok || m != (Marker{true, 9}) || !b.IsControl() {
		t.Fatal(m, ok)
	}
}

// TestRawSnappy: clients other than Java's send one block without framing.
func TestRawSnappy(t *testing.T) {
	want := bytes.Repeat([]byte("abc"), 1000)
	got, err := decompress(nil, s2.EncodeSnappy(nil, want), Snappy, 1<<20)
	if err != nil || !bytes.Equal(got, want) {
		t.Fatal(err, len(got))
	}
}

// TestEveryRatio: decompression into fresh memory, which has to grow, gives back data that compresses by any ratio.
func TestEveryRatio(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var plain []byte
		for range rapid.IntRange(1, 6).Draw(t, "parts") {
			part := rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "part")
			plain = append(plain, bytes.Repeat(part, rapid.IntRange(1, 3000).Draw(t, "times"))...)
		}
		codec := rapid.SampledFrom(codecs[1:]).Draw(t, "codec")
		packed := compress(nil, plain, codec, 0)
		if codec == Zstd && rapid.Bool().Draw(t, "streamed") {
			packed = streamed(t, plain)
		}
		if out, err := decompress(nil, packed, codec, DecompressedBytesMax); err != nil || !bytes.Equal(out, plain) {
			t.Fatalf("%v, %d to %d bytes: %d, %v", codec, len(packed), len(plain), len(out), err)
		}
		if out, err := decompress(nil, packed, codec, len(plain)); err != nil || !bytes.Equal(out, plain) {
			t.Fatalf("%v, with a cap of just its size: %v", codec, err)
		}
		if _, err := decompress(nil, packed, codec, len(plain)-1); err == nil {
			t.Fatalf("%v got past its cap", codec)
		}
	})
}

// streamed is a zstd frame that does not tell its content's size, as Java's producer writes it.
func streamed(t require, plain []byte) []byte {
	var buf bytes.Buffer
	w, err := zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatalf("%v", err)
	}
	for len(plain) > 0 && err == nil {
		n := min(len(plain), 1000)
		_, err = w.Write(plain[:n])
		plain = plain[n:]
		if err == nil {
			err = w.Flush()
		}
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatalf("%v", err)
	}
	return buf.Bytes()
}

// TestDecompressionIsCapped: a bomb costs no more than the cap, and data that just fits passes.
func TestDecompressionIsCapped(t *testing.T) {
	plain := make([]byte, 8<<20)
	const limit = 1 << 20
	for _, codec := range codecs[1:] {
		bomb := compress(nil, plain, codec, 0)
		out, err := decompress(nil, bomb, codec, limit)
		if !base.IsKind(err, base.Invalid) || cap(out) > 2*limit {
			t.Errorf("%v: %d bytes of memory, %v", codec, cap(out), err)
		}
		fits := compress(nil, plain[:limit], codec, 0)
		if out, err := decompress(nil, fits, codec, limit); err != nil || len(out) != limit {
			t.Errorf("%v: %d bytes, %v", codec, len(out), err)
		}
		if out, err := decompress(nil, fits, codec, limit-1); err == nil {
			t.Errorf("%v: %d bytes got through a cap of %d", codec, len(out), limit-1)
		}
	}
}

// TestClaimsAllocateNothing: a size that the input claims, without the bytes, is not believed.
func TestClaimsAllocateNothing(t *testing.T) {
	xerial := append(bytes.Clone(xerialMagic), 0, 0, 0, 1, 0, 0, 0, 1)
	block := binary.AppendUvarint(nil, 90<<20)
	// A zstd frame: magic, single segment with a content size of 4 bytes, the size, then a block of 1 KiB of zeros.
	claimed := binary.LittleEndian.AppendUint32([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0}, 90<<20)
	claimed = append(claimed, 0x02, 0x20, 0x00, 0x00)
	for name, c := range map[string]struct {
		codec Codec
		src   []byte
	}{
		"snappy block":  {Snappy, block},
		"xerial length": {Snappy, append(bytes.Clone(xerial), 0x7f, 0xff, 0xff, 0xff)},
		"xerial block":  {Snappy, append(binary.BigEndian.AppendUint32(bytes.Clone(xerial), uint32(len(block))), block...)},
		"zstd content":  {Zstd, claimed},
	} {
		allocated := allocatedBytes(func() {
			if _, err := decompress(nil, c.src, c.codec, DecompressedBytesMax); err == nil {
				t.Errorf("%s: accepted", name)
			}
		})
		if allocated > 4<<20 {
			t.Errorf("%s: %d bytes of input made it allocate %d", name, len(c.src), allocated)
		}
	}
}

// allocatedBytes returns what a second run of fn allocates: the first one fills the pools.
func allocatedBytes(fn func()) uint64 {
	fn()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestConcatenatedStreams: a second stream behind the first neither panics nor escapes the cap.
func TestConcatenatedStreams(t *testing.T) {
	plain := make([]byte, 600<<10)
	for _, codec := range codecs[1:] {
		one := compress(nil, plain, codec, 0)
		out, err := decompress(nil, append(bytes.Clone(one), one...), codec, 1<<20)
		if err == nil && len(out) > 1<<20 || cap(out) > 2<<20 {
			t.Errorf("%v: %d bytes, %v", codec, len(out), err)
		}
	}
}
