package file

import (
	"context"
	"os"

	"sluice/base"
	"sluice/base/bulk"
	"sluice/base/slab"
)

// Objects of directMin bytes and more are written and read around the page cache where the file system allows it: the broker has
// caches of its own, and filling the page cache costs several times the CPU of everything else that a put does.
const (
	directMin   = 1 << 20 // bytes of an object, for puts
	directGet   = 64 << 10
	stagingSize = 1 << 20
)

// writeDirect writes body through an aligned staging buffer, the last block padded; the caller truncates the file to its size.
func (s *Store) writeDirect(ctx context.Context, f *os.File, body [][]byte) error {
	staging := s.pool.Get(stagingSize)
	defer staging.Release()
	buf, filled, off := staging.B[:stagingSize], 0, int64(0)
	flush := func() error {
		padded := (filled + slab.Align - 1) &^ (slab.Align - 1)
		clear(buf[filled:padded])
		_, err := directWriteAt(f, buf[:padded], off)
		off += int64(filled)
		filled = 0
		return err
	}
	for _, segment := range body {
		for len(segment) > 0 {
			n := copy(buf[filled:], segment)
			segment, filled = segment[n:], filled+n
			if filled < len(buf) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if filled == 0 {
		return nil
	}
	return flush()
}

// readDirect fills dst with the bytes at off of a file that was opened for direct reads. The file must reach to off + len(dst).
func (s *Store) readDirect(f *os.File, dst []byte, off int64) error {
	staging := s.pool.Get(stagingSize)
	defer staging.Release()
	for len(dst) > 0 {
		skip := int(off & (slab.Align - 1))
		want := min(stagingSize, (skip+len(dst)+slab.Align-1)&^(slab.Align-1))
		n, err := directReadAt(f, staging.B[:want], off-int64(skip)) // short at the end of the file
		if n <= skip {
			if err == nil {
				err = base.Errorf(base.Unavailable, "nothing read at %d", off)
			}
			return err
		}
		got := bulk.Copy(dst, staging.B[skip:n])
		dst, off = dst[got:], off+int64(got)
	}
	return nil
}
