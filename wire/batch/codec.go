package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"

	"sluice/base"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// DecompressedBytesMax is the default of [Limits].Bytes. Kafka itself has no cap; 100 MiB is its largest request.
const DecompressedBytesMax = 100 << 20

// Limits bound what reading a batch may cost. The zero value means the defaults.
type Limits struct {
	// Bytes is the largest size of the decompressed records; 0 means DecompressedBytesMax.
	Bytes int
	// Budget is shared with others who decompress at the same time; nil means none.
	Budget *Budget
	// Result is the largest batch that Recompress need make; 0 means none.
	Result int
}

func (l Limits) bytes() int {
	if l.Bytes <= 0 {
		return DecompressedBytesMax
	}
	return l.Bytes
}

// firstRatio is how many times the compressed size the output buffer has at first.
const firstRatio = 4

// buffers recycles decompression output; none above keptBytesMax is kept.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

const keptBytesMax = 8 << 20

// decompressed returns the records, not compressed, and a function that takes back the memory they are in.
func (b Batch) decompressed(lim Limits) ([]byte, func(), error) {
	codec, src := b.Codec(), b.Payload()
	if codec == None {
		return src, func() {}, nil
	}
	if lim.Budget != nil {
		return b.claimed(lim)
	}
	buf := buffers.Get().(*[]byte)
	out, err := decompress((*buf)[:0], src, codec, lim.bytes())
	if cap(out) <= keptBytesMax {
		*buf = out[:0]
	}
	release := func() {
		if testing.Testing() { // so that a use after the loop's step shows
			clear(out[:min(len(out), 512)])
		}
		buffers.Put(buf)
	}
	if err != nil {
		release()
		return nil, nil, invalid(codec, err)
	}
	return out, release, nil
}

// invalid is the error of what does not decompress.
func invalid(codec Codec, err error) error {
	if base.IsKind(err, base.Invalid) {
		return err
	}
	return base.Errorf(base.Invalid, "record batch: %v does not decompress: %w", codec, err)
}

func tooLarge(limit int) error {
	return base.Errorf(base.Invalid, "record batch: decompresses to more than %d bytes", limit)
}

// Decompress appends to dst what src holds, compressed with a codec as Kafka's clients do it outside of batches too. It gives up beyond limit bytes.
func Decompress(dst, src []byte, codec Codec, limit int) ([]byte, error) {
	if codec == None {
		if len(src) > limit {
			return nil, tooLarge(limit)
		}
		return append(dst, src...), nil
	}
	return decompress(dst, src, codec, limit)
}

// Compress appends src to dst, compressed with a codec at its usual level.
func Compress(dst, src []byte, codec Codec) []byte {
	if codec == None {
		return append(dst, src...)
	}
	return compress(dst, src, codec, 0)
}

// decompress appends to dst, which is empty, at most limit bytes. Its memory grows as bytes come out of the decoder, not by what
// the input claims.
func decompress(dst, src []byte, codec Codec, limit int) ([]byte, error) {
	switch codec {
	case Gzip, LZ4:
		err := unstream(src, codec, func(r io.Reader) (err error) {
			dst, err = readAll(dst, r, len(src), limit)
			return err
		})
		return dst, err
	case Snappy:
		return unsnappy(dst, src, limit)
	case Zstd:
		return unzstd(dst, src, limit)
	}
	return dst, base.Errorf(base.Invalid, "record batch: codec %d does not exist", codec)
}

var (
	gzipReaders sync.Pool
	lz4Readers  = sync.Pool{New: func() any { return lz4.NewReader(nil) }}
)

// unstream calls f with a reader of what src, in a codec that is a stream, decompresses into.
func unstream(src []byte, codec Codec, f func(io.Reader) error) error {
	if codec == LZ4 {
		z := lz4Readers.Get().(*lz4.Reader)
		defer lz4Readers.Put(z)
		z.Reset(bytes.NewReader(src))
		return f(z)
	}
	z, _ := gzipReaders.Get().(*gzip.Reader)
	if z == nil {
		z = new(gzip.Reader)
	}
	defer gzipReaders.Put(z)
	if err := z.Reset(bytes.NewReader(src)); err != nil {
		return err
	}
	return f(z)
}

// readAll reads r to its end.
func readAll(dst []byte, r io.Reader, srcLen, limit int) ([]byte, error) {
	dst = grown(dst, min(limit, firstRatio*srcLen)+1)
	for {
		if len(dst) > limit {
			return dst[:limit], tooLarge(limit)
		}
		if len(dst) == cap(dst) {
			dst = grown(dst, min(2*cap(dst), limit+1))
		}
		n, err := r.Read(dst[len(dst):min(cap(dst), limit+1)])
		dst = dst[:len(dst)+n]
		if errors.Is(err, io.EOF) && len(dst) <= limit {
			return dst, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return dst[:min(len(dst), limit)], err
		}
	}
}

// grown returns dst with a capacity of at least n.
func grown(dst []byte, n int) []byte {
	if cap(dst) >= n {
		return dst
	}
	return append(make([]byte, 0, n), dst...)
}

var zstdDecoder = sync.OnceValue(func() *zstd.Decoder {
	// DecodeAll allocates no window: the output is the history. Output is bounded by the buffer's capacity.
	d, err := zstd.NewReader(nil, zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(128<<20))
	if err != nil {
		panic("BUG: batch: zstd decoder: " + err.Error())
	}
	return d
})

// zstd makes at most zstdBlockBytes out of a block, and a block has at least zstdBlockBytesMin bytes.
const (
	zstdBlockBytes    = 128 << 10
	zstdBlockBytesMin = 4
)

// zstdFinal are the errors that a larger buffer does not help against. The decoder has no one error for too small a buffer: it is
// ErrDecoderSizeExceeded between blocks and one without a name within a block.
var zstdFinal = []error{
	io.ErrUnexpectedEOF, zstd.ErrMagicMismatch, zstd.ErrWindowSizeExceeded, zstd.ErrReservedBlockType, zstd.ErrCompressedSizeTooBig,
	zstd.ErrBlockTooSmall, zstd.ErrUnexpectedBlockSize, zstd.ErrCRCMismatch, zstd.ErrUnknownDictionary,
}

// unzstd decodes into a buffer of fixed capacity and starts anew with one four times as large when it was too small: at most a third more
// work than knowing the size, which most frames do not tell and no frame need tell truly. A frame that claims more than its bytes
// can hold is never given the memory.
func unzstd(dst, src []byte, limit int) ([]byte, error) {
	room := min(limit, (len(src)/zstdBlockBytesMin+1)*zstdBlockBytes)
	dst = grown(dst, min(room, max(firstRatio*len(src), 4<<10)))
	for {
		out, err := zstdDecoder().DecodeAll(src, dst[:0:min(cap(dst), room)])
		switch {
		case err == nil:
			return out, nil
		case slices.ContainsFunc(zstdFinal, func(final error) bool { return errors.Is(err, final) }):
			return dst, err
		case cap(dst) >= room:
			return dst, base.Errorf(base.Invalid, "record batch: zstd does not decompress into %d bytes: %w", room, err)
		}
		dst = make([]byte, 0, min(room, firstRatio*cap(dst)))
	}
}

// xerialMagic starts a stream in the framing that Kafka's Java clients use around snappy blocks: 8 bytes of magic, 4 of version, 4 of compatible
// version, then blocks behind their 4-byte lengths.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const (
	xerialHeaderBytes = 16
	xerialBlockBytes  = 32 << 10
	// snappyRatioMax bounds what a block may claim to hold: a copy of 64 bytes takes at least 2 bytes.
	snappyRatioMax = 32
)

// unsnappy decodes xerial frames, and single raw blocks as librdkafka and others send them.
func unsnappy(dst, src []byte, limit int) ([]byte, error) {
	err := snappyBlocks(src, func(block []byte) (err error) {
		dst, err = unsnappyBlock(dst, block, limit)
		return err
	})
	return dst, err
}

// snappyBlocks calls f for each block, until one fails.
func snappyBlocks(src []byte, f func(block []byte) error) error {
	if !bytes.HasPrefix(src, xerialMagic) {
		return f(src)
	}
	if len(src) < xerialHeaderBytes {
		return io.ErrUnexpectedEOF
	}
	src = src[xerialHeaderBytes:]
	for len(src) > 0 {
		if len(src) < 4 {
			return io.ErrUnexpectedEOF
		}
		n := int64(binary.BigEndian.Uint32(src))
		src = src[4:]
		if n > int64(len(src)) {
			return io.ErrUnexpectedEOF
		}
		if err := f(src[:n]); err != nil {
			return err
		}
		src = src[n:]
	}
	return nil
}

func unsnappyBlock(dst, src []byte, limit int) ([]byte, error) {
	n, err := s2.DecodedLen(src)
	switch {
	case err != nil:
		return dst, err
	case n > limit-len(dst):
		return dst, tooLarge(limit)
	case n > snappyRatioMax*len(src):
		return dst, s2.ErrCorrupt
	}
	if cap(dst)-len(dst) < n {
		dst = grown(dst, min(limit, max(2*cap(dst), len(dst)+n)))
	}
	if _, err := s2.Decode(dst[len(dst):len(dst)+n], src); err != nil {
		return dst, err
	}
	return dst[:len(dst)+n], nil
}

// compress appends src to dst in a codec.
func compress(dst, src []byte, codec Codec, level int) []byte {
	switch codec {
	case None:
		return append(dst, src...)
	case Gzip:
		if level == 0 {
			level = gzip.DefaultCompression
		}
		w := &appender{dst}
		z, err := gzip.NewWriterLevel(w, level)
		return finish(w, z, src, err)
	case Snappy:
		return snappy(dst, src)
	case LZ4:
		w := &appender{dst}
		z := lz4.NewWriter(w)
		return finish(w, z, src, z.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.CompressionLevelOption(lz4Level(level))))
	case Zstd:
		return zstdEncoder(level).EncodeAll(src, dst)
	}
	panic("BUG: batch: compress with an unknown codec")
}

// appender is a writer to the end of a slice.
type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

// finish writes src through z. Nothing that writes to memory fails but by a wrong level, which configs do not let pass.
func finish(w *appender, z io.WriteCloser, src []byte, err error) []byte {
	if err == nil {
		_, err = z.Write(src)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		panic("BUG: batch: compress: " + err.Error())
	}
	return w.b
}

func lz4Level(level int) lz4.CompressionLevel {
	if level <= 0 {
		return lz4.Fast
	}
	return lz4.CompressionLevel(1 << (8 + min(level, 9)))
}

var zstdEncoders sync.Map // level → *zstd.Encoder

func zstdEncoder(level int) *zstd.Encoder {
	if level == 0 {
		level = 3
	}
	l := zstd.EncoderLevelFromZstd(level)
	if e, ok := zstdEncoders.Load(l); ok {
		return e.(*zstd.Encoder)
	}
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(l), zstd.WithEncoderCRC(false))
	if err != nil {
		panic("BUG: batch: zstd encoder: " + err.Error())
	}
	actual, _ := zstdEncoders.LoadOrStore(l, e)
	return actual.(*zstd.Encoder)
}

func snappy(dst, src []byte) []byte {
	dst = append(dst, xerialMagic...)
	dst = append(dst, 0, 0, 0, 1, 0, 0, 0, 1)
	for len(src) > 0 {
		block := src[:min(len(src), xerialBlockBytes)]
		src = src[len(block):]
		encoded := s2.EncodeSnappy(nil, block)
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(encoded)))
		dst = append(dst, encoded...)
	}
	return dst
}
