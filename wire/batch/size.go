package batch

import (
	"io"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"sluice/base"
)

// decompressedBytes finds out how many bytes src decompresses into, or at most will, without memory for them: snappy and zstd say it block by block, the others
// are decoded to nowhere. More than limit is an error; the answer is no proof that src is sound.
func decompressedBytes(src []byte, codec Codec, limit int) (int, error) {
	switch codec {
	case Gzip, LZ4:
		c := &counter{limit: limit}
		err := unstream(src, codec, func(r io.Reader) error {
			_, err := io.Copy(c, r)
			return err
		})
		return c.n, err
	case Snappy:
		n := 0
		err := snappyBlocks(src, func(block []byte) error {
			m, err := s2.DecodedLen(block)
			if n += m; err == nil && n > limit {
				err = tooLarge(limit)
			}
			return err
		})
		return n, err
	case Zstd:
		return unzstdBytes(src, limit)
	}
	return 0, base.Errorf(base.Invalid, "record batch: codec %d does not exist", codec)
}

// counter counts what is written to it, up to limit.
type counter struct{ n, limit int }

func (c *counter) Write(p []byte) (int, error) {
	if c.n += len(p); c.n > c.limit {
		return 0, tooLarge(c.limit)
	}
	return len(p), nil
}

// Of a zstd block's header (RFC 8878, 3.1.1.2): three bytes, the last bit says that it is the last block, two more its kind, the others its size.
const (
	zstdBlockHeader = 3
	zstdBlockRaw    = 0
	zstdBlockRLE    = 1
	zstdChecksum    = 4
)

// unzstdBytes walks over the blocks of the frames. A raw block or a run of one byte says what it becomes; a compressed one becomes at most zstdBlockBytes.
func unzstdBytes(src []byte, limit int) (int, error) {
	total := 0
	for len(src) > 0 {
		var h zstd.Header
		if err := h.Decode(src); err != nil {
			return 0, err
		}
		if skip := h.HeaderSize + int(h.SkippableSize); h.Skippable {
			src = src[min(skip, len(src)):]
			continue
		}
		src = src[min(h.HeaderSize, len(src)):]
		for last := false; !last; {
			if len(src) < zstdBlockHeader {
				return 0, io.ErrUnexpectedEOF
			}
			head := uint32(src[0]) | uint32(src[1])<<8 | uint32(src[2])<<16
			size := int(head >> 3)
			last, src = head&1 == 1, src[zstdBlockHeader:]
			switch head >> 1 & 3 {
			case zstdBlockRaw:
				total += size
				src = src[min(size, len(src)):]
			case zstdBlockRLE:
				total += size
				src = src[min(1, len(src)):]
			default:
				total += zstdBlockBytes
				src = src[min(size, len(src)):]
			}
			if total > limit+zstdBlockBytes {
				return 0, tooLarge(limit)
			}
		}
		if h.HasCheckSum {
			src = src[min(zstdChecksum, len(src)):]
		}
	}
	return min(total, limit), nil
}
