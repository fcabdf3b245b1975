package compact

import (
	"context"
	"iter"
	"sync/atomic"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
	"sluice/storage/stream"
)

// Env is what reading and writing objects takes. The purpose of the requests is that of the context they are made with.
type Env struct {
	Cluster   base.UUID
	Node      stream.NodeRef // who prepares the objects
	Store     driver.Store
	Catalog   Catalog
	Pool      *slab.Pool
	Bandwidth *Bandwidth // asked before every GET and every put; nil: no limit
	Traffic   *Traffic   // counts; nil: not
}

// Traffic counts requests to the bucket and their bytes.
type Traffic struct {
	Gets, GetBytes, Puts, PutBytes atomic.Int64
}

func (e *Env) read(n int64) {
	if e.Traffic != nil {
		e.Traffic.Gets.Add(1)
		e.Traffic.GetBytes.Add(n)
	}
}

func (e *Env) wrote(n int64) {
	if e.Traffic != nil {
		e.Traffic.Puts.Add(1)
		e.Traffic.PutBytes.Add(n)
	}
}

// Piece is a part of a stream in one object.
type Piece struct {
	Stream base.StreamID
	Range  base.OffsetRange
}

// readOverBytes is how many bytes that nobody wants a GET may span between two that somebody does: less than what a second GET costs.
const readOverBytes = 256 << 10

// Source reads records of one object, in few large GETs: whatever block is missing, the GET that brings it takes what is wanted behind it as well, as far
// as that lies close together and within the window. It is not safe for concurrent use; it must be closed.
type Source struct {
	env    *Env
	id     base.ObjectID
	key    string
	window int64
	long   int64 // of one stream a GET fetches so much, if that is more; the memory is given back when the stream has been read so far
	index  *object.Index
	wanted []bool // by entry of the index

	buf      *slab.Buf // bytes [from, to) of the object, nil if there are none
	from, to int64
	items    []object.Item
}

// Open reads the index of an object. window is how many bytes one GET fetches at most, unless a single block is larger; it is also the memory that the Source takes,
// beside the index. wanted is what will be read; none means everything. Kinds: NotFound when the object is gone, Corrupt when it is not what
// it should be.
func (e *Env) Open(ctx context.Context, id base.ObjectID, size, window int64, wanted ...Piece) (*Source, error) {
	if err := e.Bandwidth.Wait(ctx, min(size, 64<<10)); err != nil {
		return nil, err
	}
	x, err := object.ReadIndex(ctx, e.Store, e.Cluster, id, size)
	if err != nil {
		return nil, err
	}
	e.read(x.Footer.IndexBytes() + object.FooterBytes)
	s := &Source{env: e, id: id, key: object.Key(e.Cluster, id), window: window, index: x, wanted: make([]bool, len(x.Entries))}
	for i := range s.wanted {
		s.wanted[i] = len(wanted) == 0
	}
	for _, p := range wanted {
		i, found := x.Find(p.Stream, p.Range.Start)
		for ; found && i < len(x.Entries) && x.Entries[i].Stream == p.Stream && x.Entries[i].Range.Start < p.Range.End; i++ {
			s.wanted[i] = true
		}
	}
	return s, nil
}

// Close gives the memory back.
func (s *Source) Close() { s.drop() }

func (s *Source) drop() {
	if s.buf != nil {
		s.buf.Release()
		s.buf = nil
	}
	s.from, s.to = 0, 0
}

// Records yields the records of a stream that lie in r, ascending. The bytes of a record are valid until the next one is asked for. An error
// ends it: of kind Corrupt also when a record lies across an end of r. What r contains beyond the object's records is not missed.
func (s *Source) Records(ctx context.Context, id base.StreamID, r base.OffsetRange) iter.Seq2[object.Record, error] {
	return func(yield func(object.Record, error) bool) {
		defer func() {
			if s.to-s.from > s.window {
				s.drop()
			}
		}()
		entries := s.index.Entries
		i, found := s.index.Find(id, r.Start)
		for ; found && i < len(entries) && entries[i].Stream == id && entries[i].Range.Start < r.End; i++ {
			b, err := s.block(ctx, i)
			if err != nil {
				yield(object.Record{}, err)
				return
			}
			e := &entries[i]
			for k := range s.items {
				it := &s.items[k]
				if it.Range.End <= r.Start || it.Range.Start >= r.End {
					continue
				}
				if it.Range.Start < r.Start || it.Range.End > r.End {
					yield(object.Record{}, base.Errorf(base.Corrupt, "object %s: stream %d has a record %v across %v", s.key, id, it.Range, r))
					return
				}
				rec := object.Record{Stream: id, Epoch: e.Epoch, Base: it.Range.Start, Count: int32(it.Range.End - it.Range.Start),
					MaxTimestamp: it.MaxTimestamp, Flags: it.Flags, Data: b[it.Pos : it.Pos+it.Len]}
				if !yield(rec, nil) {
					return
				}
			}
		}
	}
}

// block returns the bytes of a block, and its records in s.items.
func (s *Source) block(ctx context.Context, i int) ([]byte, error) {
	e := &s.index.Entries[i]
	if end := e.Pos + int64(e.Size); s.buf == nil || e.Pos < s.from || end > s.to {
		if err := s.fetch(ctx, i, s.long); err != nil {
			return nil, err
		}
	}
	b := s.buf.B[e.Pos-s.from : e.Pos-s.from+int64(e.Size)]
	var err error
	if s.items, err = object.ParseBlock(e, b, s.items[:0]); err != nil {
		return nil, base.Errorf(base.KindOf(err), "object %s: %w", s.key, err)
	}
	return b, nil
}

// missing returns the first block of a stream's records in r if it has to be fetched, otherwise -1.
func (s *Source) missing(id base.StreamID, r base.OffsetRange) int {
	i, found := s.index.Find(id, r.Start)
	if !found {
		return -1
	}
	if e := &s.index.Entries[i]; s.buf != nil && e.Pos >= s.from && e.Pos+int64(e.Size) <= s.to {
		return -1
	}
	return i
}

// fetch reads block i and the wanted ones behind it, as much as a window holds, or long bytes if they are of one stream.
func (s *Source) fetch(ctx context.Context, i int, long int64) error {
	s.drop()
	entries := s.index.Entries
	from, to := entries[i].Pos, entries[i].Pos+int64(entries[i].Size)
	shares := []driver.Share{{Stream: entries[i].Stream, Bytes: int64(entries[i].Data)}}
	for k := i + 1; k < len(entries); k++ {
		e := &entries[k]
		size := e.Pos + int64(e.Size) - from
		if e.Pos-to > readOverBytes || size > s.window && (size > long || e.Stream != entries[i].Stream) {
			break
		}
		if s.wanted[k] {
			to = e.Pos + int64(e.Size)
			shares = append(shares, driver.Share{Stream: e.Stream, Bytes: int64(e.Data)})
		}
	}
	if err := s.env.Bandwidth.Wait(ctx, to-from); err != nil {
		return err
	}
	buf := s.env.Pool.Get(int(to - from))
	b, err := s.env.Store.Get(driver.WithShares(ctx, shares), s.key, from, to-from, buf.B[:0])
	if err != nil {
		buf.Release()
		return err
	}
	if len(b) > 0 && &b[0] != &buf.B[0] { // the store has moved it
		copy(buf.B, b)
	}
	s.env.read(to - from)
	s.buf, s.from, s.to = buf, from, to
	return nil
}
