package cache

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/base/bulk"
	"sluice/base/slab"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
)

// ExtentMin and ExtentMax bound what one GET reads of one stream, in bytes, single blocks that are larger aside. A pack of small ones has packBytes and three quarters at most.
//
// Extents end at multiples of their size, counted from where the stream begins in the object: whoever reads a stretch in sequence, wherever he began,
// asks for the same extents as everybody else with as much room, and finds them whole.
const (
	ExtentMin = 512 << 10
	ExtentMax = 8 << 20
)

const (
	extentBytes     = 4 << 20 // what a GET of Warm reads at most
	freshParts      = 7       // eighths of the budget that what was not read to its end yet may take from what was
	getAttempts     = 6
	getTimeout      = 30 * time.Second // of one attempt
	extentOverheads = 512              // bytes charged per extent, and per block of it
)

// Options are what a block cache is made of.
type Options struct {
	Cluster    base.UUID
	Store      driver.Store
	Pool       *slab.Pool
	Bytes      int64                 // budget
	Lent       func() int64          // bytes beyond the budget that nobody else needs just now; nil: none. Must not block
	OnGrow     func()                // called after the cache has grown, so that what was lent of its budget comes back; nil: nothing
	Pause      time.Duration         // before a GET is repeated, doubled each time; 0: 50 ms
	Registerer prometheus.Registerer // nil: no metrics
}

var errClosed = base.Errorf(base.Closed, "block cache is closed")

type blockKey struct {
	id  base.ObjectID
	pos int64
}

// Blocks caches blocks and indexes of objects.
type Blocks struct {
	opt                  Options
	ctx                  context.Context
	cancel               context.CancelFunc
	loads                sync.WaitGroup
	foreground, prefetch *lane
	metrics              *blockMetrics

	mu struct {
		sync.Mutex
		closed  bool
		blocks  map[blockKey]*extent
		indexes map[base.ObjectID]*indexEntry
		// What has been read to its end is evicted before what has not: in a sequence nobody needs it any more, except readers that follow
		// closely. Reading again keeps it.
		fresh, done lru
		bytes       int64 // charged, loading ones included
		strange     int64 // bytes of neighbours that nobody has asked for, and
		credit      int64 // how many of those may still be evicted, see neighbours.go
	}
}

// extent is a run of blocks in one object that were read, or are being read, by one GET into one buffer: of one stream, or of a pack of small ones.
type extent struct {
	node
	id      base.ObjectID
	own     base.StreamID // that it was read for
	blocks  []Block
	pos     int64         // where in the object the GET begins
	size    int64         // its bytes
	ready   chan struct{} // closed when loaded or failed
	err     error         // after ready
	buf     *slab.Buf     // after ready; the cache's reference is given back on eviction
	waiters int           // who wait for ready; under Blocks.mu
	unread  int64         // bytes of blocks nobody has asked for yet
	waste   *atomic.Int64 // where to report them; nil: not read ahead
}

// Block is a verified block of an object.
type Block struct {
	Entry object.Entry
	Data  []byte // record bytes
	Items []object.Item
	ext   *extent
	read  bool
}

// Buf is the memory Data lies in.
func (b *Block) Buf() *slab.Buf { return b.ext.buf }

// Release gives back the reference that came with the block.
func (b *Block) Release() { b.ext.buf.Release() }

// NewBlocks returns an empty cache.
func NewBlocks(opt Options) *Blocks {
	if opt.Pause <= 0 {
		opt.Pause = 50 * time.Millisecond
	}
	c := &Blocks{opt: opt, foreground: newLane(foregroundGets, max(opt.Bytes/2, ExtentMax)), prefetch: newLane(prefetchGets, opt.Bytes/2)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.metrics = newBlockMetrics(opt.Registerer, c.Bytes)
	c.mu.credit = c.creditMax()
	c.mu.blocks = map[blockKey]*extent{}
	c.mu.indexes = map[base.ObjectID]*indexEntry{}
	c.mu.fresh.init()
	c.mu.done.init()
	return c
}

// budget is what the cache may be charged with now.
func (c *Blocks) budget() int64 {
	if c.opt.Lent == nil {
		return c.opt.Bytes
	}
	return c.opt.Bytes + max(0, c.opt.Lent())
}

func (c *Blocks) grown() {
	if c.opt.OnGrow != nil {
		c.opt.OnGrow()
	}
}

// Shrink gives back what is no longer lent.
func (c *Blocks) Shrink() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shrinkLocked()
}

// Bytes is what the cache is charged with now.
func (c *Blocks) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.bytes
}

// Close interrupts what is being read, waits for it, and drops everything. Blocks handed out stay valid until released.
func (c *Blocks) Close() {
	c.mu.Lock()
	c.mu.closed = true
	c.mu.Unlock()
	c.cancel()
	c.loads.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for n := c.victimLocked(); n != nil; n = c.victimLocked() {
		c.evictLocked(n)
	}
}

// TryGet returns block i of an object with a reference, if it is in memory.
func (c *Blocks) TryGet(x *object.Index, i int) (*Block, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ext := c.mu.blocks[blockKey{x.Footer.ID, x.Entries[i].Pos}]
	if ext == nil || ext.buf == nil {
		return nil, false
	}
	return c.handOutLocked(ext, x.Entries[i].Pos), true
}

// Has reports whether block i of an object is in memory or on its way.
func (c *Blocks) Has(x *object.Index, i int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.blocks[blockKey{x.Footer.ID, x.Entries[i].Pos}] != nil
}

// Get returns block i of an object with a reference. When the block has to be read, up to want bytes of the blocks behind it that
// belong to the same stream are read as well. Errors: NotFound when the object is gone, Corrupt, Unavailable, Closed.
func (c *Blocks) Get(ctx context.Context, x *object.Index, i int, want int64) (*Block, error) {
	return c.get(ctx, x, i, func() *extent { return c.startLocked(x, i, want) })
}

// GetExtent is Get for a reader in sequence: when the block has to be read, the rest of its extent of the given size (as for Prefetch) is
// read as well. Bytes that are evicted unread are added to waste.
func (c *Blocks) GetExtent(ctx context.Context, x *object.Index, i int, size int64, waste *atomic.Int64) (*Block, error) {
	return c.get(ctx, x, i, func() *extent {
		from, to := c.runLocked(x, i, math.MaxInt64, size, c.makeRoomLocked(c.cellOf(x)))
		ext := c.newExtentLocked(x, from, to, x.Entries[i].Stream, waste)
		c.loads.Add(1)
		go c.load(ext, c.foreground, false)
		return ext
	})
}

// get returns block i of an object; start makes the GET for it.
func (c *Blocks) get(ctx context.Context, x *object.Index, i int, start func() *extent) (*Block, error) {
	key := blockKey{x.Footer.ID, x.Entries[i].Pos}
	c.mu.Lock()
	ext := c.mu.blocks[key]
	switch {
	case c.mu.closed:
		c.mu.Unlock()
		return nil, errClosed
	case ext != nil && ext.buf != nil:
		defer c.mu.Unlock()
		return c.handOutLocked(ext, key.pos), nil
	case ext == nil:
		ext = start()
	}
	c.metrics.misses.Inc()
	ext.waiters++
	c.mu.Unlock()
	return c.await(ctx, ext, key.pos)
}

// await waits for an extent that is being read. The loader takes a reference for every waiter, so that what was waited for cannot be
// evicted before it is looked at.
func (c *Blocks) await(ctx context.Context, ext *extent, pos int64) (*Block, error) {
	err := wait(ctx, ext.ready)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case ext.err != nil:
		return nil, ext.err
	case err == nil:
		b := c.findLocked(ext, pos)
		if ext.unread == 0 {
			ext.moveTo(&c.mu.done)
		}
		return b, nil
	case ext.buf != nil:
		ext.buf.Release()
	default:
		ext.waiters--
	}
	return nil, err
}

func (c *Blocks) handOutLocked(ext *extent, pos int64) *Block {
	ext.buf.Retain(1)
	b := c.findLocked(ext, pos)
	if ext.unread == 0 {
		ext.moveTo(&c.mu.done)
	} else {
		ext.touch()
	}
	return b
}

// findLocked returns the block at pos and notes that it was asked for.
func (c *Blocks) findLocked(ext *extent, pos int64) *Block {
	for i := range ext.blocks {
		b := &ext.blocks[i]
		if b.Entry.Pos != pos {
			continue
		}
		if !b.read {
			b.read = true
			ext.unread -= int64(b.Entry.Size)
			if b.Entry.Stream != ext.own {
				c.mu.strange -= int64(b.Entry.Size)
				c.earnLocked(int64(b.Entry.Size))
			}
		}
		return b
	}
	panic("BUG: cache: block is not in its extent")
}

// startLocked starts the GETs for block i and up to want bytes of what follows, and returns the extent of block i.
func (c *Blocks) startLocked(x *object.Index, i int, want int64) (first *extent) {
	id := x.Entries[i].Stream
	if c.smallLocked(x, i) {
		want = math.MaxInt64 // a part of it would cut its pack
	}
	for first == nil || want > 0 && i < len(x.Entries) && x.Entries[i].Stream == id {
		if first != nil && c.cachedLocked(x, i) {
			break
		}
		from, to := c.runLocked(x, i, want, ExtentMax, c.makeRoomLocked(c.cellOf(x)))
		ext := c.newExtentLocked(x, from, to, id, nil)
		if first == nil {
			first = ext
		}
		c.loads.Add(1)
		go c.load(ext, c.foreground, false)
		i = to
		want -= ext.size
	}
	return first
}

// Prefetch reads ahead: whole extents of about the given size (from ExtentMin to ExtentMax) of the blocks from i on that belong to the
// stream of block i, until want bytes are in memory or on their way, as far as the lane has room, without waiting. Bytes that are
// evicted unread are added to waste. It returns the first block it left alone, and whether it got as far as
// want or the last block of the stream.
func (c *Blocks) Prefetch(x *object.Index, i int, want, extent int64, waste *atomic.Int64) (next int, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := x.Entries[i].Stream
	for want > 0 && i < len(x.Entries) && x.Entries[i].Stream == id {
		if c.mu.blocks[blockKey{x.Footer.ID, x.Entries[i].Pos}] != nil {
			want -= int64(x.Entries[i].Size)
			i++
			continue
		}
		from, to := c.runLocked(x, i, math.MaxInt64, extent, c.roomLocked(true))
		if c.mu.closed || c.crowdedLocked(x, i) || !c.prefetch.tryAcquire(sizeOf(x, from, to)) {
			return i, false
		}
		ext := c.newExtentLocked(x, from, to, id, waste)
		c.metrics.prefetched.Add(float64(ext.size))
		c.loads.Add(1)
		go c.load(ext, c.prefetch, true)
		want -= ext.ownBytes()
		for i < to && x.Entries[i].Stream == id {
			i++
		}
	}
	return i, true
}

// newExtentLocked makes the extent of the blocks [from, to), which are about to be read for a stream.
func (c *Blocks) newExtentLocked(x *object.Index, from, to int, own base.StreamID, waste *atomic.Int64) *extent {
	ext := newExtent(x, from, to, own, waste)
	c.enterLocked(ext)
	return ext
}

func newExtent(x *object.Index, from, to int, own base.StreamID, waste *atomic.Int64) *extent {
	ext := &extent{id: x.Footer.ID, own: own, pos: x.Entries[from].Pos, size: sizeOf(x, from, to), blocks: make([]Block, to-from), ready: make(chan struct{}), waste: waste}
	for k := range ext.blocks {
		ext.blocks[k] = Block{Entry: x.Entries[from+k], ext: ext}
	}
	return ext
}

// enterLocked enters an extent, without the blocks that are cached already, and charges for it.
func (c *Blocks) enterLocked(ext *extent) {
	ext.blocks = slices.DeleteFunc(ext.blocks, func(b Block) bool { return c.mu.blocks[blockKey{ext.id, b.Entry.Pos}] != nil })
	items := int64(0)
	for k := range ext.blocks {
		e := &ext.blocks[k].Entry
		c.mu.blocks[blockKey{ext.id, e.Pos}] = ext
		ext.unread += int64(e.Size)
		items += int64(e.Records)
	}
	ext.charge = int64(slab.Size(int(ext.size))) + items*object.ItemMemoryBytes + extentOverheads*int64(len(ext.blocks)+1)
	mine := ext.ownBytes()
	c.mu.strange += ext.unread - mine
	c.earnLocked(mine / ownEarns)
	ext.ext, ext.drop = ext, func() { c.dropExtentLocked(ext) }
	c.mu.bytes += ext.charge
	c.shrinkLocked()
}

// dropExtentLocked takes an extent out of the map; a loaded one gives its buffer back.
func (c *Blocks) dropExtentLocked(ext *extent) {
	for k := range ext.blocks {
		delete(c.mu.blocks, blockKey{ext.id, ext.blocks[k].Entry.Pos})
	}
	own, strange := ext.unreadOf()
	c.mu.strange -= strange
	if ext.buf == nil {
		return
	}
	c.mu.credit -= strange
	if ext.waste != nil && ext.unread > 0 {
		c.metrics.wasted.Add(float64(ext.unread))
		ext.waste.Add(own)
	}
	ext.buf.Release()
}

// shrinkLocked evicts the least recently used entries until the budget is kept, or only loading ones are left.
func (c *Blocks) shrinkLocked() {
	for budget := c.budget(); c.mu.bytes > budget; {
		n := c.victimLocked()
		if n == nil {
			return
		}
		c.evictLocked(n)
	}
}

// victimLocked returns what is to be evicted next, nil if nothing is loaded. What was read to its end goes first, unless the rest has
// taken so much that some of it must have been given up by who wanted it.
func (c *Blocks) victimLocked() *node {
	if n := c.mu.done.back(); n != nil && c.mu.fresh.bytes <= c.budget()/8*freshParts {
		return n
	}
	if n := c.mu.fresh.back(); n != nil {
		return n
	}
	return c.mu.done.back()
}

func (c *Blocks) evictLocked(n *node) {
	n.remove()
	c.mu.bytes -= n.charge
	n.drop()
}

func (c *Blocks) load(ext *extent, l *lane, acquired bool) {
	defer c.loads.Done()
	c.grown() // it was charged when this began
	buf, err := (*slab.Buf)(nil), error(nil)
	if !acquired && l.acquire(c.ctx, ext.size) != nil {
		err = errClosed
	}
	if err == nil {
		buf, err = c.read(ext, l == c.prefetch)
		l.release(ext.size)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(ext.ready)
	if err != nil {
		ext.err = err
		c.mu.bytes -= ext.charge
		c.dropExtentLocked(ext)
		return
	}
	ext.buf = buf
	if ext.waiters > 0 {
		buf.Retain(ext.waiters)
	}
	c.mu.fresh.pushFront(&ext.node)
	c.shrinkLocked()
}

// read fetches and verifies the blocks of an extent.
func (c *Blocks) read(ext *extent, ahead bool) (*slab.Buf, error) {
	key := object.Key(c.opt.Cluster, ext.id)
	buf := c.opt.Pool.Get(int(ext.size))
	err := c.retry(driver.WithShares(c.purpose(ahead), ext.shares()), func(ctx context.Context) error {
		b, err := c.opt.Store.Get(ctx, key, ext.pos, ext.size, buf.B[:0:ext.size])
		if err != nil {
			return err
		}
		c.metrics.gets.Inc()
		c.metrics.read.Add(float64(len(b)))
		return c.parse(ext, key, b)
	})
	if err != nil {
		buf.Release()
		return nil, err
	}
	return buf, nil
}

// purpose returns the cache's context for requests of reading ahead, or of which somebody waits for the answer.
func (c *Blocks) purpose(ahead bool) context.Context {
	if ahead {
		return driver.WithPurpose(c.ctx, driver.PurposeReadAhead)
	}
	return driver.WithPurpose(c.ctx, driver.PurposeRead)
}

// parse verifies the blocks of an extent whose bytes are b, about bulk.Bytes in a turn.
func (c *Blocks) parse(ext *extent, key string, b []byte) (err error) {
	for k := 0; k < len(ext.blocks) && err == nil; {
		bulk.Do(func() {
			for done := 0; k < len(ext.blocks) && done < bulk.Bytes && err == nil; k++ {
				blk := &ext.blocks[k]
				e := &blk.Entry
				at := b[e.Pos-ext.pos:]
				blk.Items, err = object.ParseBlock(e, at[:e.Size], nil)
				blk.Data = at[:e.Data:e.Data]
				done += int(e.Size)
			}
		})
	}
	if err != nil {
		return base.Errorf(base.KindOf(err), "object %s: %w", key, err)
	}
	return nil
}

// retry repeats op while the store is unavailable, and once when bytes came back wrong.
func (c *Blocks) retry(life context.Context, op func(ctx context.Context) error) (err error) {
	for attempt := range getAttempts {
		if attempt > 0 && wait(c.ctx, time.After(c.opt.Pause<<(attempt-1))) != nil {
			return errClosed
		}
		ctx, cancel := context.WithTimeout(life, getTimeout)
		err = op(ctx)
		cancel()
		switch kind := base.KindOf(err); {
		case err != nil && c.ctx.Err() != nil:
			return errClosed
		case kind == base.Unavailable, kind == base.Undetermined, kind == base.Corrupt && attempt == 0:
		default:
			return err
		}
	}
	return err
}

func wait[T any](ctx context.Context, ready <-chan T) error {
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return base.Wrap(base.Unavailable, ctx.Err())
	}
}
