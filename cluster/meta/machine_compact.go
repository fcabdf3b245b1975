package meta

import "sluice/base"

// CommitCompaction puts new objects in the place of ranges. It is the commit of all kinds of compaction, and is not bound to the owner of
// the streams: two that compact the same thing waste work, for the second one finds that its sources are not there any more.
//
// Objects were prepared by Node under this epoch and hold what New says of them. One that is not prepared any more has expired, and the
// command is refused as a whole (ObjectNotPrepared). Result: [CompactionDone].
type CommitCompaction struct {
	Node         NodeRef
	Objects      []CompactedObject
	Replacements []Replacement // those of one stream ascend and do not overlap
}

// CompactedObject is a new object. Size is in bytes.
type CompactedObject struct {
	ID   base.ObjectID
	Size int64
	Kind ObjectKind
}

// Replacement says that the ranges of a stream that make up Range, which are in the objects Sources in that order, are to be replaced by New.
// New covers Range exactly, ascending and without a gap. Cleaned says that all of the stream below Range's end has now been key-compacted.
// With Cleaned, New may be empty: then nothing was to be removed, the ranges stay as they are, and only the stream's CleanedTo moves.
type Replacement struct {
	Stream  base.StreamID
	Range   base.OffsetRange
	Sources []base.ObjectID
	New     []NewRange
	Cleaned bool
}

// NewRange is a part of a stream in a new object. MaxTimestamp is in milliseconds, Bytes counts record bytes.
type NewRange struct {
	Object       base.ObjectID
	Range        base.OffsetRange
	Bytes        int64
	MaxTimestamp int64
}

// CompactionDone is the result of CommitCompaction: one verdict per replacement.
type CompactionDone struct {
	Duplicate bool // it took effect before; the verdicts say what is the case now
	Verdicts  []CompactVerdict
}

// CompactVerdict is what became of one replacement.
type CompactVerdict uint8

const (
	// CompactReplaced: the new ranges, but for those wholly below the stream's start, are in place.
	CompactReplaced CompactVerdict = iota
	// CompactTrimmed: all of it lies below the stream's start by now.
	CompactTrimmed
	// CompactDeleted: the stream has been deleted.
	CompactDeleted
	// CompactChanged: the ranges are not, or no longer, those that the replacement names.
	CompactChanged
)

func (v CompactVerdict) String() string {
	return [...]string{"replaced", "trimmed", "deleted", "changed"}[min(v, CompactChanged)]
}

// MaxReplacementRanges bounds the new ranges of one replacement. The sources and new ranges of one command are bounded by MaxUploadRanges,
// its objects by MaxPrepare.
const MaxReplacementRanges = recordItems

// A compaction is checked in this order:
//
//  1. The sender: the node epoch is current and not fenced.
//  2. The form, which needs no image: what is wrong here is a bug of the sender.
//  3. The objects. All prepared by the sender: the command is new. One committed: it took effect before, for nobody else names these
//     objects, and they cease to be prepared together; then nothing changes, and each verdict says what is the case. Else they have
//     expired, or took effect and went again since: the work is done anew, or found to be done.
//  4. The replacements, one by one and each for itself. Of a deleted stream: Deleted. Wholly below the start: Trimmed. The held ranges
//     from the one that starts at Range.Start to the one that ends at Range.End must name exactly the sources. Where a trim has dropped
//     the first of them, the list begins above Range.Start, and what is held must be the rest of the sources. Anything else: Changed.
//
// That the names are the same proves that the ranges are: an object's bytes never change, a range of it is never made longer or shorter,
// and what once took the place of a range never gives it back, for new objects are prepared ones and ids are never handed out twice.
//
// New ranges wholly below the stream's start are left out. The first that remains may begin below the start, and below or above where the
// first held range began.
type compactPlan struct {
	res      CompactionDone
	replaced []replacedRanges
	used     map[base.ObjectID]bool // every object of the command; true: a range refers to it
}

func (m *CommitCompaction) decide(d *Draft, nowMS int64) (Result, *Rejection) {
	if rej := d.img.current(m.Node); rej != nil {
		return nil, rej
	}
	p := &compactPlan{used: make(map[base.ObjectID]bool, len(m.Objects))}
	if rej := p.form(m); rej != nil {
		return nil, rej
	}
	fresh, rej := m.fresh(d.img)
	if rej != nil {
		return nil, rej
	}
	p.res.Verdicts = make([]CompactVerdict, len(m.Replacements))
	if !fresh {
		p.res.Duplicate = true
		for i := range m.Replacements {
			p.res.Verdicts[i] = m.Replacements[i].done(d.img)
		}
		return &p.res, nil
	}
	for i := range m.Replacements {
		p.res.Verdicts[i] = p.add(d.img, &m.Replacements[i])
	}
	p.emit(d, m, nowMS)
	return &p.res, nil
}

// form checks what can be checked without an image.
func (p *compactPlan) form(m *CommitCompaction) *Rejection {
	items := 0
	for i := range m.Replacements {
		if n := len(m.Replacements[i].New); n > MaxReplacementRanges {
			return reject(TooLarge, "a replacement by %d ranges, at most %d are possible", n, MaxReplacementRanges)
		}
		items += len(m.Replacements[i].Sources) + len(m.Replacements[i].New)
	}
	if items > MaxUploadRanges || len(m.Objects) > MaxPrepare {
		return reject(TooLarge, "compaction into %d objects with %d ranges together", len(m.Objects), items)
	}
	for _, o := range m.Objects {
		if _, twice := p.used[o.ID]; twice || o.Size < 0 || o.Kind > SO {
			return reject(InvalidCommand, "object %s: size %d, kind %d, or named twice", o.ID, o.Size, o.Kind)
		}
		p.used[o.ID] = false
	}
	ends := make(map[base.StreamID]base.Offset, len(m.Replacements))
	for i := range m.Replacements {
		r := &m.Replacements[i]
		if r.Range.Empty() || r.Range.Start < ends[r.Stream] || len(r.Sources) == 0 || len(r.New) == 0 && !r.Cleaned {
			return reject(InvalidCommand, "stream %d: replacement of %v, %d sources, %d new ranges", r.Stream, r.Range, len(r.Sources), len(r.New))
		}
		ends[r.Stream] = r.Range.End
		if rej := p.covers(r); rej != nil {
			return rej
		}
	}
	return nil
}

// covers checks that the new ranges make up the whole, in objects of the command.
func (p *compactPlan) covers(r *Replacement) *Rejection {
	at := r.Range.Start
	for _, n := range r.New {
		_, known := p.used[n.Object]
		if !known || n.Range.Start != at || n.Range.Empty() || n.Bytes < 0 {
			return reject(InvalidCommand, "stream %d: new range %v in object %s, of %d bytes, where one from %d is due", r.Stream, n.Range, n.Object, n.Bytes, at)
		}
		at = n.Range.End
	}
	if at != r.Range.End && len(r.New) > 0 {
		return reject(InvalidCommand, "stream %d: new ranges up to %d, not %d", r.Stream, at, r.Range.End)
	}
	return nil
}

// fresh reports whether the command is new; if not, it took effect before.
func (m *CommitCompaction) fresh(img *Image) (bool, *Rejection) {
	prepared, committed, gone := 0, 0, base.ObjectID(0)
	for _, o := range m.Objects {
		switch at, ok := img.objects.get(o.ID); {
		case ok && at.State == Prepared && at.Node != m.Node:
			return false, reject(InvalidCommand, "object %s was prepared by node %d epoch %d", o.ID, at.Node.ID, at.Node.Epoch)
		case ok && at.State == Prepared:
			prepared++
		case ok && at.State == Committed:
			committed++
		default:
			gone = o.ID
		}
	}
	switch {
	case prepared == len(m.Objects):
		return true, nil
	case prepared == 0 && committed > 0:
		return false, nil
	}
	return false, reject(ObjectNotPrepared, "object %s is not prepared, or has expired: compact anew", gone)
}

// add decides one replacement.
func (p *compactPlan) add(img *Image, r *Replacement) CompactVerdict {
	s, ok := img.stream(r.Stream)
	switch {
	case !ok:
		return CompactDeleted
	case r.Range.End <= s.Start:
		return CompactTrimmed
	}
	first, n, ok := s.names(r.Range, r.Sources)
	if !ok {
		return CompactChanged
	}
	to := replacedRanges{Stream: r.Stream, First: first, Count: uint32(n), Cleaned: r.Cleaned}
	for _, f := range r.New {
		if f.Range.End <= s.Start {
			continue
		}
		if len(to.New) == 0 {
			to.Begin = f.Range.Start
		}
		to.New = append(to.New, committedPart{Count: uint64(f.Range.End - f.Range.Start), Object: f.Object, Bytes: f.Bytes, MaxTimestamp: f.MaxTimestamp})
		p.used[f.Object] = true
	}
	p.replaced = append(p.replaced, to)
	return CompactReplaced
}

// names checks that the held ranges of r name exactly the objects, or the rest of them where a trim dropped the first, and returns where
// the first of them starts and how many they are.
func (s *Stream) names(r base.OffsetRange, objects []base.ObjectID) (first base.Offset, n int, ok bool) {
	if s.ranges.empty() {
		return 0, 0, false
	}
	first = max(r.Start, s.ranges.first())
	at, ok := s.ranges.find(first)
	if !ok {
		return 0, 0, false
	}
	end := first
	if first > r.Start { // leading ones are gone: count what is left
		s.ranges.walk(at, func(g Range) bool { n++; return g.End < r.End })
		objects = objects[max(0, len(objects)-n):]
		n = 0
	}
	s.ranges.walk(at, func(g Range) bool {
		if n == len(objects) || g.Object != objects[n] || g.End > r.End {
			return false
		}
		n, end = n+1, g.End
		return end < r.End
	})
	return first, n, end == r.End && n == len(objects)
}

// done says what has become of a replacement that was decided before.
func (r *Replacement) done(img *Image) CompactVerdict {
	s, ok := img.stream(r.Stream)
	switch {
	case !ok:
		return CompactDeleted
	case r.Range.End <= s.Start:
		return CompactTrimmed
	case len(r.New) == 0:
		if s.CleanedTo >= r.Range.End {
			return CompactReplaced
		}
		return CompactChanged
	}
	objects := make([]base.ObjectID, 0, len(r.New))
	for _, n := range r.New {
		objects = append(objects, n.Object)
	}
	if _, _, ok := s.names(r.Range, objects); !ok {
		return CompactChanged
	}
	return CompactReplaced
}

// emit writes the plan down: the objects that are used, what they replace, and the objects that turned out to be of no use.
func (p *compactPlan) emit(d *Draft, m *CommitCompaction, nowMS int64) {
	var used []committedObject
	var unused []base.ObjectID
	for _, o := range m.Objects {
		if p.used[o.ID] {
			used = append(used, committedObject{ID: o.ID, Size: o.Size, Kind: o.Kind})
		} else {
			unused = append(unused, o.ID)
		}
	}
	emitSplit(d, used, func(chunk []committedObject) Record { return &objectsCompacted{Objects: chunk} })
	items, from := 0, 0
	for i := range p.replaced {
		if items += 1 + len(p.replaced[i].New); items > recordItems && i > from {
			d.emit(&rangesReplaced{Replaced: p.replaced[from:i], MS: nowMS})
			items, from = 1+len(p.replaced[i].New), i
		}
	}
	if from < len(p.replaced) {
		d.emit(&rangesReplaced{Replaced: p.replaced[from:], MS: nowMS})
	}
	emitSplit(d, unused, func(chunk []base.ObjectID) Record { return &objectsMarked{Objects: chunk, MS: nowMS} })
}
