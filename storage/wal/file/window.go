package file

import "sluice/storage/wal/block"

// A log is read through windows. Whoever writes a block for each sync has many small ones, and a file server takes as long for the 128 bytes of a header as for
// a megabyte: one request for each block made the rescue of 2,000 blocks last longer than anybody has patience. A window shows only what is there: what it shows as
// missing or damaged is read again by itself, because a writer may have come meanwhile, and because a bad sector must cost its own block and no other.

// windowBytes are read at a time where blocks are small. Beside a block that is larger than smallBytes it would be read for nothing.
const (
	windowBytes = 1 << 20
	smallBytes  = windowBytes / 8
)

// window is a stretch of a segment. Its zero value shows nothing.
type window struct {
	seg  int
	off  int64
	b    []byte // what was read
	room []byte // where it is read to
	bad  bool   // it could not be read
}

// at returns n bytes from p on, nil if the window does not have them.
func (w *window) at(p place, n int) []byte {
	if from := p.off - w.off; p.seg == w.seg && from >= 0 && from+int64(n) <= int64(len(w.b)) {
		return w.b[from : from+int64(n)]
	}
	return nil
}

// load has the window begin at p, unless it shows n bytes from there already. One that cannot be read shows nothing, and no other is tried in its place: a disk may take
// seconds to give up a sector.
func (w *window) load(v *volume, p place, n int) {
	s := v.segs[p.seg]
	if w.at(p, n) != nil || p.off >= s.size || w.bad && p.seg == w.seg && p.off < w.off+windowBytes {
		return
	}
	if w.room == nil {
		w.room = make([]byte, windowBytes)
	}
	w.seg, w.off, w.b = p.seg, p.off, w.room[:min(windowBytes, s.size-p.off)]
	if w.bad = s.read(w.b, p.off) != nil; w.bad {
		w.b = nil
	}
}

// header returns the header at p, as volume.header does.
func (w *walker) header(p place) (block.Header, error) {
	if w.small && p == w.at {
		w.win.load(w.v, p, block.HeaderBytes)
	}
	if b := w.win.at(p, block.Align); b != nil {
		if h, err := w.v.check(w.v.segs[p.seg], p.off, b); err == nil {
			return h, nil
		}
	}
	return w.v.header(p, w.buf)
}

// content reads and verifies a block that next has returned. The caller owns it.
func (w *walker) content(f found, opt block.Options) (*block.Block, error) {
	size := f.header.Size()
	if size <= smallBytes {
		w.win.load(w.v, f.place, size)
	}
	if b := w.win.at(f.place, size); b != nil {
		buf := opt.Pool.Get(f.header.Padded())
		copy(buf.B, b)
		if got, err := verify(f, buf); err == nil {
			return got, nil
		}
		buf.Release()
	}
	return w.v.content(f, opt)
}
