package cache

import (
	"context"
	"sync/atomic"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
)

// The index lies at the end of an object, behind the blocks that are read last. Where an object is small, as compaction leaves them that has little memory, a GET for the index alone is one
// of three or one of two. So one that is no larger than an extent comes as a whole with its index, and the last pack of one of a few packs comes with it: as far as the reader's own
// blocks go, or there is room for neighbours.
const (
	wholeBytes = ExtentMax // objects up to this size, and
	tailPacks  = 3         // those of so many packs are read from the end
	tailSlack  = 64 << 10  // what an index takes of a tail, about
)

type indexEntry struct {
	node
	ready chan struct{}
	index *object.Index
	err   error
	from  int64 // where the GET begins; -1: it is for the index alone
	tail  Tail
}

// Tail says for whom an index is read, who will go on with the blocks.
type Tail struct {
	Stream base.StreamID
	Bytes  int64         // of it in the object; 0: nobody wants blocks
	Waste  *atomic.Int64 // as for GetExtent; nil: not read ahead
}

// TryIndex returns the index of an object if it is in memory.
func (c *Blocks) TryIndex(id base.ObjectID) (*object.Index, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.mu.indexes[id]
	if e == nil || e.index == nil {
		return nil, false
	}
	e.touch()
	return e.index, true
}

// Index returns the index of an object of the given size. Errors are those of object.ReadIndex. Blocks that tail names may come with it.
func (c *Blocks) Index(ctx context.Context, id base.ObjectID, size int64, tail Tail) (*object.Index, error) {
	c.mu.Lock()
	e := c.mu.indexes[id]
	switch {
	case c.mu.closed:
		c.mu.Unlock()
		return nil, errClosed
	case e == nil:
		e = c.startIndexLocked(id, size, tail, c.tailLocked(size, tail, false), c.foreground, false)
	default:
		e.touch()
	}
	c.mu.Unlock()
	if err := wait(ctx, e.ready); err != nil {
		return nil, err
	}
	return e.index, e.err
}

// PrefetchIndex starts to read an object's index unless it is in memory or being read.
func (c *Blocks) PrefetchIndex(id base.ObjectID, size int64, tail Tail) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.indexes[id] != nil || c.mu.closed {
		return
	}
	from := c.tailLocked(size, tail, true)
	if c.prefetch.tryAcquire(indexGet(size, from)) {
		c.startIndexLocked(id, size, tail, from, c.prefetch, true)
	}
}

// IsWhole reports whether an object of that size is read as a whole by one who has so many bytes in it.
func IsWhole(size, bytes int64) bool { return size <= wholeBytes && bytes >= size/4*3 }

// ComesWithIndex reports whether an object of that size is one of few packs, of which the last comes with the index to one who waits for it, where there is room. To read the index of such
// a one ahead, alone, is a GET more.
func (c *Blocks) ComesWithIndex(size int64) bool { return size <= tailPacks*c.cellSize(size) }

// tailLocked is from where an object is to be read together with its index, -1 if it is not.
func (c *Blocks) tailLocked(size int64, tail Tail, ahead bool) int64 {
	cell := c.cellSize(size)
	switch room := c.roomLocked(ahead); {
	case tail.Bytes <= 0:
		return -1
	case IsWhole(size, tail.Bytes), size <= cell && size-tail.Bytes <= room:
		return 0
	case ahead || !c.ComesWithIndex(size):
		return -1
	case tail.Bytes >= size/4*3, cell <= room:
		return size - cell - tailSlack
	}
	return -1
}

// indexGet is how many bytes the GET for an index counts as.
func indexGet(size, from int64) int64 {
	if from < 0 {
		return indexBytes
	}
	return size - from
}

func (c *Blocks) startIndexLocked(id base.ObjectID, size int64, tail Tail, from int64, l *lane, acquired bool) *indexEntry {
	e := &indexEntry{ready: make(chan struct{}), tail: tail, from: from}
	c.mu.indexes[id] = e
	c.loads.Add(1)
	if from >= 0 {
		c.mu.bytes += size - from
		c.shrinkLocked()
	}
	go c.loadIndex(e, id, size, l, acquired)
	return e
}

func (c *Blocks) loadIndex(e *indexEntry, id base.ObjectID, size int64, l *lane, acquired bool) {
	defer c.loads.Done()
	defer c.grown() // once the lock is free
	index, ext, err := c.readIndex(e, id, size, l, acquired)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(e.ready)
	if e.from >= 0 {
		c.mu.bytes -= size - e.from
	}
	e.index, e.err = index, err
	if err != nil {
		delete(c.mu.indexes, id)
		return
	}
	e.charge = index.MemoryBytes()
	e.drop = func() { delete(c.mu.indexes, id) }
	c.mu.bytes += e.charge
	c.mu.fresh.pushFront(&e.node)
	if ext != nil {
		c.adoptLocked(ext)
	}
	c.shrinkLocked()
}

// adoptLocked enters an extent that came with an index.
func (c *Blocks) adoptLocked(ext *extent) {
	close(ext.ready)
	c.enterLocked(ext)
	c.mu.fresh.pushFront(&ext.node)
}

// readIndex reads an index, and the extent that comes with it, if any.
func (c *Blocks) readIndex(e *indexEntry, id base.ObjectID, size int64, l *lane, acquired bool) (index *object.Index, ext *extent, err error) {
	bytes := indexGet(size, e.from)
	if !acquired {
		if l.acquire(c.ctx, bytes) != nil {
			return nil, nil, errClosed
		}
	}
	defer l.release(bytes)
	var buf *slab.Buf
	if e.from >= 0 {
		buf = c.opt.Pool.Get(int(bytes))
	}
	purpose := c.purpose(l == c.prefetch)
	if e.from >= 0 { // whose the rest is, is not known before it is read: who wants it pays
		purpose = driver.WithShares(purpose, []driver.Share{{Stream: e.tail.Stream, Bytes: size - e.from}})
	}
	err = c.retry(purpose, func(ctx context.Context) (err error) {
		if buf == nil {
			index, err = object.ReadIndex(ctx, c.opt.Store, c.opt.Cluster, id, size)
			return err
		}
		var b []byte
		if index, b, err = object.ReadFrom(ctx, c.opt.Store, c.opt.Cluster, id, size, e.from, buf.B[:0:bytes]); err != nil {
			return err
		}
		ext = c.tailOf(e, index, b)
		return nil
	})
	switch {
	case ext != nil:
		ext.buf = buf
	case buf != nil:
		buf.Release()
	}
	return index, ext, err
}

// tailOf returns the extent of the blocks in the tail of an object, nil if there are none or they are damaged: then whoever wants them finds out. Of several streams only whole ones are
// taken, or the rest of one would have to be read apart.
func (c *Blocks) tailOf(e *indexEntry, x *object.Index, b []byte) *extent {
	n, k := len(x.Entries), 0
	for k < n && x.Entries[k].Pos < e.from {
		k++
	}
	if n > 0 && x.Entries[0].Stream != x.Entries[n-1].Stream {
		for k > 0 && k < n && x.Entries[k].Stream == x.Entries[k-1].Stream {
			k++
		}
	}
	if k == n {
		return nil
	}
	ext := newExtent(x, k, n, e.tail.Stream, e.tail.Waste)
	c.metrics.gets.Inc()
	c.metrics.read.Add(float64(len(b)))
	if c.parse(ext, object.Key(c.opt.Cluster, x.Footer.ID), b[x.Entries[k].Pos-e.from:]) != nil {
		return nil
	}
	return ext
}
