package streamtest

import (
	"context"
	"slices"
	"sync"

	"sluice/base"
	"sluice/storage/stream"
)

// Catalog is a stream.Catalog in memory. Its zero value is empty and ready.
type Catalog struct {
	// Fail, if not nil, is asked before each call, with the method's name. An error is returned in its place; lost says that the call
	// is carried out all the same, as when an answer is lost.
	Fail func(method string) (err error, lost bool)

	mu      sync.Mutex
	streams map[base.StreamID]*catalogStream
	nodes   map[base.NodeID]*catalogNode
	objects map[base.ObjectID]bool // prepared (false) or committed (true)
	kinds   map[base.ObjectID]stream.ObjectKind
	next    base.ObjectID
	grants  uint64
	commits int
}

type catalogStream struct {
	owner        stream.NodeRef
	epoch        base.StreamEpoch
	open         bool
	start, end   base.Offset
	ranges       []stream.ObjectRange
	deleted      bool
	bytesTrimmed int64
}

type catalogNode struct {
	epoch    base.NodeEpoch
	fenced   bool
	grant    uint64 // newest
	upload   uint64
	trim     base.WALPos
	verdicts []stream.Verdict // of the last upload
}

var _ stream.Catalog = (*Catalog)(nil)

// Register begins a new epoch of a node. The old one must have been rescued.
func (c *Catalog) Register(id base.NodeID) stream.NodeRef {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nodes == nil {
		c.nodes = map[base.NodeID]*catalogNode{}
		c.streams = map[base.StreamID]*catalogStream{}
		c.objects = map[base.ObjectID]bool{}
		c.kinds = map[base.ObjectID]stream.ObjectKind{}
	}
	epoch := base.NodeEpoch(1)
	if n := c.nodes[id]; n != nil {
		epoch = n.epoch + 1
	}
	c.nodes[id] = &catalogNode{epoch: epoch}
	return stream.NodeRef{ID: id, Epoch: epoch}
}

// Open opens a stream for a node under the next epoch, creating it if need be. It panics when the stream is open.
func (c *Catalog) Open(node stream.NodeRef, id base.StreamID) stream.StreamState {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[id]
	if s == nil {
		s = &catalogStream{epoch: -1}
		c.streams[id] = s
	}
	if s.open {
		panic("streamtest: stream is open")
	}
	s.owner, s.epoch, s.open = node, s.epoch+1, true
	return stream.StreamState{ID: id, Epoch: s.epoch, Start: s.start, End: s.end}
}

// Delete deletes a stream.
func (c *Catalog) Delete(id base.StreamID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams[id].deleted = true
}

// Take takes a stream from its owner, as if its close had been lost: commits of the owner are skipped from now on.
func (c *Catalog) Take(id base.StreamID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams[id].open = false
}

// Fence fences a node epoch and grants its rescue. It returns the grant, the trim to read from and the number of the next upload.
func (c *Catalog) Fence(node stream.NodeRef) (grant uint64, trim base.WALPos, next uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[node.ID]
	c.grants++
	n.fenced, n.grant = true, c.grants
	return c.grants, n.trim, n.upload + 1
}

// Rescued closes the streams a fenced node still has open.
func (c *Catalog) Rescued(node stream.NodeRef) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.streams {
		if s.owner == node {
			s.open = false
		}
	}
}

// Expire makes all ids that are prepared and not committed invalid.
func (c *Catalog) Expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, committed := range c.objects {
		if !committed {
			delete(c.objects, id)
		}
	}
}

// Replace exchanges an object in all ranges that name it, as a compaction would. The caller copies the bytes.
func (c *Catalog) Replace(old, with base.ObjectID, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects[with] = true
	for _, s := range c.streams {
		for i := range s.ranges {
			if s.ranges[i].ID == old {
				s.ranges[i].ID, s.ranges[i].Size = with, size
			}
		}
	}
}

// NewID hands out an object id that is prepared for nobody.
func (c *Catalog) NewID() base.ObjectID {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	return c.next
}

// Ranges returns the ranges of a stream.
func (c *Catalog) Ranges(id base.StreamID) []stream.ObjectRange {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.streams[id].ranges)
}

// Compact puts ranges in place of those of a stream from position first on, n of them, as a key compaction would. It panics when they do
// not cover the same offsets.
func (c *Catalog) Compact(id base.StreamID, first, n int, with []stream.ObjectRange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[id]
	at := s.ranges[first].Range.Start
	for _, r := range with {
		if r.Range.Start != at || r.Range.Empty() {
			panic("streamtest: the new ranges do not cover the old ones")
		}
		at = r.Range.End
		c.objects[r.ID] = true
	}
	if at != s.ranges[first+n-1].Range.End {
		panic("streamtest: the new ranges do not cover the old ones")
	}
	s.ranges = slices.Replace(s.ranges, first, first+n, with...)
}

// Trim returns a node's committed WAL trim, and Commits how many uploads were committed.
func (c *Catalog) Trim(id base.NodeID) base.WALPos {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[id].trim
}

// Commits returns how many uploads were committed.
func (c *Catalog) Commits() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.commits
}

// Committed returns the ids of committed objects.
func (c *Catalog) Committed() (ids []base.ObjectID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, committed := range c.objects {
		if committed {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// End returns a stream's committed end.
func (c *Catalog) End(id base.StreamID) base.Offset {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams[id].end
}

// call runs op, or fails in its place.
func (c *Catalog) call(ctx context.Context, method string, op func() error) error {
	if err := ctx.Err(); err != nil {
		return base.Wrap(base.Unavailable, err)
	}
	if c.Fail != nil {
		if err, lost := c.Fail(method); err != nil {
			if lost {
				c.mu.Lock()
				defer c.mu.Unlock()
				_ = op()
			}
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return op()
}

// PrepareObjects implements stream.Catalog.
func (c *Catalog) PrepareObjects(ctx context.Context, n int) (ids []base.ObjectID, err error) {
	err = c.call(ctx, "PrepareObjects", func() error {
		for range n {
			c.next++
			c.objects[c.next] = false
			ids = append(ids, c.next)
		}
		return nil
	})
	return ids, err
}

// CommitUpload implements stream.Catalog. The checks are in the order the metadata has them.
func (c *Catalog) CommitUpload(ctx context.Context, u stream.UploadCommit) (res stream.UploadResult, err error) {
	err = c.call(ctx, "CommitUpload", func() error {
		res, err = c.commit(u)
		return err
	})
	return res, err
}

func (c *Catalog) commit(u stream.UploadCommit) (res stream.UploadResult, err error) {
	n := c.nodes[u.Node.ID]
	switch {
	case n == nil || n.epoch != u.Node.Epoch, n.fenced && u.Grant != n.grant, !n.fenced && u.Grant != 0:
		return res, base.Errorf(base.Fenced, "node %s is fenced", u.Node)
	case u.Number <= n.upload:
		return stream.UploadResult{Verdicts: n.verdicts}, nil
	case u.Number != n.upload+1 || u.Trim < n.trim:
		return res, base.Errorf(base.Invalid, "upload %d after %d, trim %d after %d", u.Number, n.upload, u.Trim, n.trim)
	}
	for _, o := range u.Objects {
		if committed, ok := c.objects[o.ID]; !ok || committed {
			return res, base.Errorf(base.NotFound, "object %s is not prepared", o.ID)
		}
	}
	ends := map[base.StreamID]base.Offset{}
	for _, o := range u.Objects {
		for _, r := range o.Ranges {
			v := c.verdict(u.Node, r, ends)
			if v == stream.Committed && r.Range.Start > ends[r.Stream] {
				return res, base.Errorf(base.Invalid, "stream %d: gap from %d to %d", r.Stream, ends[r.Stream], r.Range.Start)
			}
			if v == stream.Committed {
				ends[r.Stream] = r.Range.End
			}
			res.Verdicts = append(res.Verdicts, v)
		}
	}
	i := 0
	for _, o := range u.Objects {
		c.objects[o.ID], c.kinds[o.ID] = true, o.Kind
		for _, r := range o.Ranges {
			if s := c.streams[r.Stream]; res.Verdicts[i] == stream.Committed {
				part := base.OffsetRange{Start: s.end, End: r.Range.End}
				s.ranges = append(s.ranges, stream.ObjectRange{ID: o.ID, Size: o.Size, Range: part, Bytes: r.Bytes, MaxTimestamp: r.MaxTimestamp})
				s.end = r.Range.End
			}
			i++
		}
	}
	n.upload, n.trim, n.verdicts = u.Number, u.Trim, res.Verdicts
	c.commits++
	return res, nil
}

func (c *Catalog) verdict(node stream.NodeRef, r stream.StreamRange, ends map[base.StreamID]base.Offset) stream.Verdict {
	s := c.streams[r.Stream]
	switch {
	case s == nil || s.deleted:
		return stream.SkippedDeleted
	case s.owner != node || s.epoch != r.Epoch || !s.open:
		if r.Range.End <= s.end {
			return stream.SkippedBelow
		}
		return stream.SkippedNotOwned
	}
	if _, ok := ends[r.Stream]; !ok {
		ends[r.Stream] = s.end
	}
	if r.Range.End <= ends[r.Stream] {
		return stream.SkippedBelow
	}
	return stream.Committed
}

// TrimStreams implements stream.Catalog.
func (c *Catalog) TrimStreams(ctx context.Context, node stream.NodeRef, trims []stream.StreamTrim) error {
	return c.call(ctx, "TrimStreams", func() error {
		errs := make([]error, len(trims))
		for i, t := range trims {
			s := c.streams[t.Stream]
			switch {
			case s == nil || s.deleted:
			case !c.owns(node, s, t.Epoch):
				errs[i] = base.Errorf(base.Fenced, "stream %d is not owned", t.Stream)
			case t.Start > s.end:
				errs[i] = base.Errorf(base.OutOfRange, "stream %d: trim to %d beyond %d", t.Stream, t.Start, s.end)
			case t.Start > s.start:
				s.start = t.Start
				for len(s.ranges) > 0 && s.ranges[0].Range.End <= s.start {
					s.ranges = s.ranges[1:]
				}
			}
		}
		return outcome(errs)
	})
}

func (c *Catalog) owns(node stream.NodeRef, s *catalogStream, epoch base.StreamEpoch) bool {
	n := c.nodes[node.ID]
	return n.epoch == node.Epoch && !n.fenced && s.owner == node && s.open && s.epoch == epoch
}

// CloseStreams implements stream.Catalog.
func (c *Catalog) CloseStreams(ctx context.Context, node stream.NodeRef, closes []stream.StreamClose) error {
	return c.call(ctx, "CloseStreams", func() error {
		errs := make([]error, len(closes))
		for i, t := range closes {
			s := c.streams[t.Stream]
			switch {
			case s == nil || s.deleted:
			case !s.open && s.owner == node && s.epoch == t.Epoch && s.end == t.End:
			case !c.owns(node, s, t.Epoch):
				errs[i] = base.Errorf(base.Fenced, "stream %d is not owned", t.Stream)
			case t.End != s.end:
				errs[i] = base.Errorf(base.OutOfRange, "stream %d: close at %d, committed end is %d", t.Stream, t.End, s.end)
			default:
				s.open = false
			}
		}
		return outcome(errs)
	})
}

func outcome(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return &stream.ItemErrors{Errs: errs}
		}
	}
	return nil
}

// Locate implements stream.Catalog.
func (c *Catalog) Locate(ctx context.Context, id base.StreamID, from base.Offset, limit int) (loc stream.Location, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[id]
	if s == nil || s.deleted {
		return loc, base.Errorf(base.NotFound, "stream %d does not exist", id)
	}
	loc.Start, loc.CommittedEnd = s.start, s.end
	for i, r := range s.ranges {
		loc.Bytes += r.Bytes
		if r.Range.End > from && len(loc.Objects) < limit {
			loc.Objects = append(loc.Objects, s.ranges[i])
		}
	}
	return loc, nil
}
