package batch

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"

	plainsnappy "github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

const fuzzLimit = 256 << 10

// reference decompresses with a reader, as somebody would who knows nothing of batches. known says that it can judge the input.
func reference(src []byte, codec Codec) (out []byte, known bool, err error) {
	var r io.Reader
	switch codec {
	case Gzip:
		if r, err = gzip.NewReader(bytes.NewReader(src)); err != nil {
			return nil, true, err
		}
	case Snappy:
		if bytes.HasPrefix(src, xerialMagic) {
			return nil, false, nil
		}
		if n, err := plainsnappy.DecodedLen(src); err != nil || n > fuzzLimit {
			return nil, true, io.ErrUnexpectedEOF
		}
		out, err = plainsnappy.Decode(nil, src)
		return out, true, err
	case LZ4:
		r = lz4.NewReader(bytes.NewReader(src))
	default:
		z, err := zstd.NewReader(bytes.NewReader(src), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, true, err
		}
		defer z.Close()
		r = z
	}
	out, err = io.ReadAll(io.LimitReader(r, fuzzLimit+1))
	return out, len(out) <= fuzzLimit, err
}

// FuzzDecompress: what is decompressed is what a plain reader gives, no more than the limit; and what is compressed comes back.
func FuzzDecompress(f *testing.F) {
	for _, codec := range codecs {
		f.Add(uint8(codec-1), []byte("some text, some text, some text"))
		f.Add(uint8(codec-1), Compress(nil, bytes.Repeat([]byte("some text "), 100), codec))
		f.Add(uint8(codec-1), Compress(nil, make([]byte, 2*fuzzLimit), codec))
	}
	f.Fuzz(func(t *testing.T, number uint8, in []byte) {
		codec := Codec(number%4) + 1
		out, err := Decompress(nil, in, codec, fuzzLimit)
		if len(out) > fuzzLimit {
			t.Fatalf("%v: %d bytes", codec, len(out))
		}
		want, known, wantErr := reference(in, codec)
		if known && err == nil && (wantErr != nil || !bytes.Equal(out, want)) {
			t.Fatalf("%v: %d bytes; the reference has %d, %v", codec, len(out), len(want), wantErr)
		}
		if known && err != nil && wantErr == nil && len(in) > 0 && (codec != Snappy || len(want) <= snappyRatioMax*len(in)) {
			t.Fatalf("%v: %v; the reference has %d bytes", codec, err, len(want))
		}
		if n, sizeErr := decompressedBytes(in, codec, fuzzLimit); err == nil && (sizeErr != nil || n < len(out)) {
			t.Fatalf("%v: %d bytes came out, %d were expected, %v", codec, len(out), n, sizeErr)
		}
		back, err := Decompress(nil, Compress(nil, in, codec), codec, len(in))
		if err != nil || !bytes.Equal(back, in) {
			t.Fatalf("%v: %d bytes came back as %d, %v", codec, len(in), len(back), err)
		}
	})
}
