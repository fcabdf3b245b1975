package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/wal/block"
	"sluice/storage/wal/disk"
)

// How the end of a log is found. The walk goes from block to block through the segments, in the order of their numbers, for as
// long as it meets the header of the next position with the CRC of the one before. Where that ends at position p, the contents
// of the blocks are verified that no later header vouches for (a header's durable position vouches for all blocks below it);
// the first bad one, if any, becomes p. Then everything behind it is searched for valid headers of later positions. If one of
// them, or the trim, says that p was durable, p is a durable block that cannot be read: Corrupt. Else nobody was ever told that p
// was written, and the log ends at p; valid blocks behind it were written at the same time as p, and not acknowledged either.

// stored is a segment of a WAL that is read.
type stored struct {
	path string
	file disk.File
	size int64
	seq  uint64
	of   *volume
}

// volume is the set of segments of one WAL.
type volume struct {
	cluster base.UUID
	victim  block.Victim
	dir     string
	segs    []*stored   // ascending by number, without gaps
	durable base.WALPos // the greatest durable position that a stamp records
	getsOn  func()      // told of each read
}

// place is where a block lies or should lie.
type place struct {
	seg int
	off int64
}

func (v *volume) at(p place) string {
	if p.seg >= len(v.segs) {
		return v.dir
	}
	return block.At{File: v.segs[p.seg].path, Offset: p.off}.String()
}

// openVolume opens all segments.
func (c Config) openVolume(opt block.Options, victim block.Victim) (*volume, error) {
	dir := epochName(victim.Node, victim.Epoch)
	v := &volume{cluster: opt.Cluster, victim: victim, dir: c.in(dir), getsOn: opt.OnProgress}
	if v.getsOn == nil {
		v.getsOn = func() {}
	}
	names, err := c.FS.List(c.in(dir))
	if err != nil {
		return nil, classify(err)
	}
	for _, name := range names {
		if !isSegment(name) {
			continue
		}
		seg, err := c.openStored(c.in(dir, name), v)
		if err != nil {
			v.close()
			return nil, err
		}
		v.segs = append(v.segs, seg)
	}
	slices.SortFunc(v.segs, func(a, b *stored) int { return int(int64(a.seq - b.seq)) })
	for i := 1; i < len(v.segs); i++ {
		if v.segs[i].seq != v.segs[i-1].seq+1 {
			v.close()
			return nil, base.Errorf(base.Corrupt, "%s: segment number %d is missing: after %s (number %d) comes %s (number %d)",
				v.dir, v.segs[i-1].seq+1, v.segs[i-1].path, v.segs[i-1].seq, v.segs[i].path, v.segs[i].seq)
		}
	}
	return v, nil
}

func (c Config) openStored(path string, v *volume) (*stored, error) {
	f, err := c.FS.Open(path)
	if err != nil {
		return nil, classify(err)
	}
	s := &stored{path: path, file: f, of: v}
	if s.size, err = f.Size(); err == nil {
		err = s.readStamp(v)
	}
	if err != nil {
		f.Close()
		return nil, classify(err)
	}
	return s, nil
}

func (s *stored) readStamp(v *volume) error {
	slots := make([]byte, dataStart)
	if err := s.read(slots, 0); err != nil {
		return err
	}
	st, err := newestStamp(slots)
	if err != nil {
		return fmt.Errorf("%v: both stamps of the segment are unreadable: %w", block.At{File: s.path}, err)
	}
	if st.cluster != v.cluster || st.victim != v.victim {
		return base.Errorf(base.Corrupt, "%s: segment of cluster %v, node epoch %v, in the directory of %v, %v", s.path, st.cluster, st.victim, v.cluster, v.victim)
	}
	s.seq = st.seq
	v.durable = max(v.durable, st.durable)
	return nil
}

// read fills b. Bytes behind the end of the file read as zeros: a file that was cut is found by what is missing in it.
func (s *stored) read(b []byte, off int64) error {
	n, err := s.file.ReadAt(b, off)
	if errors.Is(err, io.EOF) {
		clear(b[n:])
	} else if err != nil {
		return base.Errorf(base.Unavailable, "read %s, offset %d: %w", s.path, off, err)
	}
	s.of.getsOn()
	return nil
}

func (v *volume) close() {
	for _, s := range v.segs {
		s.file.Close()
	}
}

// header reads the header at p. Corrupt when there is none of this WAL that was written in this use of the segment and fits into
// it; Invalid when it was written by a newer program.
func (v *volume) header(p place, buf []byte) (block.Header, error) {
	s := v.segs[p.seg]
	if p.off+block.Align > s.size {
		return block.Header{}, base.Errorf(base.Corrupt, "the segment ends")
	}
	if err := s.read(buf[:block.HeaderBytes], p.off); err != nil {
		return block.Header{}, err
	}
	return v.check(s, p.off, buf)
}

func (v *volume) check(s *stored, off int64, buf []byte) (block.Header, error) {
	h, err := block.Parse(buf)
	if err != nil {
		return h, err
	}
	if !h.Of(v.cluster, v.victim) || h.Segment != s.seq || off+int64(h.Padded()) > s.size {
		return h, base.Errorf(base.Corrupt, "block %d of node epoch %d-%d, segment number %d, %d bytes, which does not belong here", h.Pos, h.Node, h.Epoch, h.Segment, h.Size())
	}
	return h, nil
}

// ended is the error of a context that has ended.
func ended(ctx context.Context) error {
	if ctx.Err() != nil {
		return base.Wrap(base.Unavailable, context.Cause(ctx))
	}
	return nil
}

// found is a block that the walk has met.
type found struct {
	place
	header block.Header
}

// walker goes from block to block.
type walker struct {
	v      *volume
	at     place // where the next block is expected; the beginning of a later segment will do as well
	pos    base.WALPos
	prev   uint32
	linked bool // prev is known
	buf    []byte
	win    *window
	small  bool // the block before is so small that it is worth looking at more than the next one
}

// next returns the block at w.pos. end: an end mark says that the log ends here. ok=false: it is not where it has to be.
func (w *walker) next() (f found, ok, end bool, err error) {
	for p := w.at; p.seg < len(w.v.segs); p = (place{p.seg + 1, dataStart}) {
		h, err := w.header(p)
		if err != nil && !base.IsKind(err, base.Corrupt) {
			return found{}, false, false, fmt.Errorf("%s: %w", w.v.at(p), err)
		}
		if err != nil || h.Pos != w.pos || w.linked && h.Prev != w.prev {
			continue
		}
		if h.Kind == block.KindEnd {
			return found{p, h}, false, true, nil
		}
		w.at, w.pos, w.prev, w.linked = place{p.seg, p.off + int64(h.Padded())}, w.pos+1, h.CRC, true
		w.small = h.Padded() <= smallBytes
		return found{p, h}, true, false, nil
	}
	return found{}, false, false, nil
}

// walkFrom returns a walker that stands before the block at from. Blocks below from are stepped over by their headers; a
// part of them that cannot be read does not matter, for they were trimmed.
func (v *volume) walkFrom(ctx context.Context, from base.WALPos) (*walker, error) {
	w := &walker{v: v, pos: from, buf: make([]byte, block.HeaderBytes), at: place{0, dataStart}, win: &window{}}
	start := -1
	var pos base.WALPos
	for i := range v.segs {
		h, err := v.header(place{i, dataStart}, w.buf)
		if base.IsKind(err, base.Corrupt) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", v.at(place{i, dataStart}), err)
		}
		if h.Kind == block.KindData && h.Pos <= from && (start < 0 || h.Pos > pos) {
			start, pos = i, h.Pos
		}
	}
	if start >= 0 {
		w.at, w.pos = place{start, dataStart}, pos
	} else if f, ok, err := v.search(ctx, w.at, func(f found) bool { return f.header.Kind == block.KindData }); err != nil {
		return nil, err
	} else if ok && f.header.Pos <= from { // what lies before it in its segment is unreadable
		w.at, w.pos = f.place, f.header.Pos
	}
	return w, v.stepTo(ctx, w, from)
}

func (v *volume) stepTo(ctx context.Context, w *walker, from base.WALPos) error {
	for w.pos < from {
		if err := ended(ctx); err != nil {
			return err
		}
		if _, ok, _, err := w.next(); err != nil {
			return err
		} else if ok {
			continue
		}
		f, ok, err := v.search(ctx, w.at, func(f found) bool { return f.header.Pos > w.pos && f.header.Kind == block.KindData })
		if err != nil {
			return err
		}
		if !ok || f.header.Pos > from {
			return base.Errorf(base.Corrupt, "%s: block %d is unreadable, and the log cannot be followed to its trim position %d", v.at(w.at), w.pos, from)
		}
		w.at, w.pos, w.linked = f.place, f.header.Pos, false
	}
	return nil
}

// searchBytes is read at a time by search.
const searchBytes = 1 << 20

// search returns the first valid header from p on, in the order of the segments, that want accepts.
func (v *volume) search(ctx context.Context, p place, want func(found) bool) (found, bool, error) {
	buf := make([]byte, searchBytes)
	for ; p.seg < len(v.segs); p = (place{p.seg + 1, dataStart}) {
		s := v.segs[p.seg]
		for start := p.off; start < s.size; start += searchBytes {
			if err := ended(ctx); err != nil {
				return found{}, false, err
			}
			b := buf[:min(searchBytes, s.size-start)]
			if err := s.read(b, start); err != nil {
				return found{}, false, err
			}
			for off := 0; off+block.Align <= len(b); off += block.Align {
				h, err := v.check(s, start+int64(off), b[off:])
				if f := (found{place{p.seg, start + int64(off)}, h}); err == nil && want(f) {
					return f, true, nil
				}
			}
		}
	}
	return found{}, false, nil
}

// content reads and verifies a block. The caller owns it.
func (v *volume) content(f found, opt block.Options) (*block.Block, error) {
	buf := opt.Pool.Get(f.header.Padded())
	err := v.segs[f.seg].read(buf.B[:f.header.Size()], f.off)
	var b *block.Block
	if err == nil {
		b, err = verify(f, buf)
	}
	if err != nil {
		buf.Release()
		return nil, fmt.Errorf("%s: block %d: %w", v.at(f.place), f.header.Pos, err)
	}
	return b, nil
}

// verify makes a block of the bytes that were read of one that was found. It takes over the buffer, unless there is an error.
func verify(f found, buf *slab.Buf) (*block.Block, error) {
	again, err := block.Parse(buf.B)
	if err == nil && again.CRC != f.header.CRC {
		err = base.Errorf(base.Corrupt, "the block has changed")
	}
	if err != nil {
		return nil, err
	}
	records, err := block.Records(&f.header, buf.B)
	if err != nil {
		return nil, err
	}
	return &block.Block{Pos: f.header.Pos, Records: records, Buf: buf, Bytes: f.header.Size(), Mem: len(buf.B)}, nil
}

// findEnd finds where the log ends, see the top of this file.
func (v *volume) findEnd(ctx context.Context, from base.WALPos, opt block.Options) (base.WALPos, error) {
	w, err := v.walkFrom(ctx, from)
	if err != nil {
		return 0, err
	}
	var open []found // blocks that no header vouches for
	proven := max(from, v.durable)
	for {
		if err := ended(ctx); err != nil {
			return 0, err
		}
		f, ok, end, err := w.next()
		if err != nil {
			return 0, err
		}
		if ok || end {
			proven = max(proven, f.header.Durable)
			open = slices.DeleteFunc(open, func(o found) bool { return o.header.Pos < proven })
		}
		if end {
			return w.pos, nil
		}
		if !ok {
			break
		}
		open = append(open, f)
	}
	bad, at, exact := w.pos, w.at, false
	for _, f := range open {
		b, err := v.content(f, opt)
		if base.IsKind(err, base.Corrupt) {
			bad, at, exact = f.header.Pos, f.place, true
			break
		} else if err != nil {
			return 0, err
		}
		b.Release()
	}
	return bad, v.refuseIfDurable(ctx, bad, at, exact, proven)
}

// refuseIfDurable gives an error if something proves that the block at pos, which cannot be read where it should be, was durable.
// exact: it should be there, and not at the beginning of the next segment.
func (v *volume) refuseIfDurable(ctx context.Context, pos base.WALPos, at place, exact bool, proven base.WALPos) error {
	var first found
	witness, ok, err := v.search(ctx, at, func(f found) bool {
		if f.header.Pos > pos && first.off == 0 {
			first = f
		}
		return f.header.Pos > pos && f.header.Durable > pos
	})
	if err != nil || !ok && pos >= proven {
		return err
	}
	if !exact {
		at = v.likely(pos, at, first)
	}
	if !ok {
		return base.Errorf(base.Corrupt, "%s: block %d is unreadable, but it was durable: the log is known to have been durable up to %d", v.at(at), pos, proven)
	}
	return base.Errorf(base.Corrupt, "%s: block %d is unreadable, but it was durable: block %d at %s was sealed when the log was durable up to %d",
		v.at(at), pos, witness.header.Pos, v.at(witness.place), witness.header.Durable)
}

// likely says where the block at pos was, at or at the beginning of the next segment, for the error message: where more looks
// like its header, or else where the first readable later block suggests.
func (v *volume) likely(pos base.WALPos, at place, first found) place {
	next := place{at.seg + 1, dataStart}
	switch a, b := v.resemblance(pos, at), v.resemblance(pos, next); {
	case b > a, b == a && first.seg == next.seg && first.off > dataStart:
		return next
	default:
		return at
	}
}

// resemblance counts the fields at p that a header of the block at pos would have.
func (v *volume) resemblance(pos base.WALPos, p place) (n int) {
	b := make([]byte, block.HeaderBytes)
	if p.seg >= len(v.segs) || p.off+block.Align > v.segs[p.seg].size || v.segs[p.seg].read(b, p.off) != nil {
		return 0
	}
	want := make([]byte, block.HeaderBytes)
	h := block.Header{Cluster: v.cluster, Node: v.victim.Node, Epoch: v.victim.Epoch, Pos: pos, Segment: v.segs[p.seg].seq}
	h.Put(want)
	for _, field := range [][2]int{{0, 12}, {12, 28}, {40, 48}, {56, 64}} {
		if string(b[field[0]:field[1]]) == string(want[field[0]:field[1]]) {
			n++
		}
	}
	return n
}

// Read returns the blocks [from, end) of a sealed WAL.
func (c Config) Read(ctx context.Context, opt block.Options, victim block.Victim, from, end base.WALPos) iter.Seq2[*block.Block, error] {
	return func(yield func(*block.Block, error) bool) {
		if from >= end {
			return
		}
		v, err := c.openVolume(opt, victim)
		if err != nil {
			yield(nil, err)
			return
		}
		defer v.close()
		w, err := v.walkFrom(ctx, from)
		for err == nil && w.pos < end && ctx.Err() == nil {
			var f found
			var ok bool
			at, pos := w.at, w.pos
			if f, ok, _, err = w.next(); err == nil && !ok {
				err = base.Errorf(base.Corrupt, "%s: block %d is unreadable; the log was sealed at %d", v.at(at), pos, end)
			}
			var b *block.Block
			if err == nil {
				b, err = w.content(f, opt)
			}
			if err == nil && !yield(b, nil) {
				return
			}
		}
		if err == nil && w.pos < end {
			err = ended(ctx)
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// findAndRecord finds the end of the log and records it. The token is marked, or the lock held, already.
func (c Config) findAndRecord(ctx context.Context, opt block.Options, victim block.Victim, from base.WALPos, who string) (base.WALPos, error) {
	dir := epochName(victim.Node, victim.Epoch)
	v, err := c.openVolume(opt, victim)
	if err != nil {
		return 0, err
	}
	defer v.close()
	if len(v.segs) == 0 {
		return 0, base.Errorf(base.Corrupt, "%s has no segments, although it was made with one", v.dir)
	}
	end, err := v.findEnd(ctx, from, opt)
	if err != nil {
		return 0, err
	}
	err = c.FS.Put(c.in(dir, sealName), sealRecord(end, who))
	if errors.Is(err, fs.ErrExist) {
		return c.readSeal(dir)
	}
	return end, classify(err)
}
