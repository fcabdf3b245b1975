package compact

import (
	"cmp"
	"math/bits"
	"slices"

	"sluice/base"
	"sluice/storage/object"
	"sluice/storage/stream"
)

// Limits are the sizes that a plan is made with.
type Limits struct {
	MaxObject  int64 // bytes of the objects that are made
	SOBytes    int64 // a contiguous part of a stream with so much gets stream objects; at most half of MaxObject is useful
	SplitBytes int64 // the same in stream-set objects older than SplitAgeMS, and never less than this
	SplitAgeMS int64 // milliseconds
	Enough     int64 // bytes per range, on average, from which on a larger stream-set object is as good as stream objects and is left alone; 0: none is.
	Readers    int64 // memory of readers: where a range of Enough bytes of every stream is more, smaller ranges are good enough (see planner.enough); 0: never
	JobBytes   int64 // bytes that a job reads, unless one run has more
	Sources    int   // stream-set objects that a job reads side by side, at least fanIn,
	IndexBytes int64 // and memory of their indexes, unless they are fanIn or fewer
}

// The ratios of the rules, see doc.go.
const (
	fanIn       = 8       // small stream-set objects of a tier that are merged
	tierBytes   = 4 << 10 // the smallest tier of stream-set objects ends at fanIn times this
	tightness   = 4       // large stream-set objects are merged when the number of ranges falls to a quarter,
	soFanIn     = 4       // stream objects when the result is four times the largest of them,
	crowdedSOs  = 16      // or when there are so many,
	crowdedSSOs = 32      // and neighbouring ranges in stream-set objects when there are so many
	densityUnit = 256     // bytes per range; the smallest density tier ends at tightness times this
	deadSlack   = 4 << 10 // bytes of an object, and of
	rangeSlack  = 256     // each of its ranges, that do not count as dead
	jobObjects  = 1024    // objects that a job reads, unless one run has more
	runObjects  = 8       // a run has so many times MaxObject bytes at most: it is committed as a whole, before its ids expire,
	runPieces   = 10_000  // and so many pieces
	smallRanges = maxObjectRanges / 4
	maxSources  = 64        // bounds Limits.Sources
	enoughLeast = 512 << 10 // what Enough is lowered to at most: two reads by 1 MiB take it together with what is beside it,
	rangesMost  = 1 << 18   // but only as long as all bytes make no more ranges than this: ten megabytes of every broker's metadata
	enoughSlack = 5         // quarters of Enough that a plan of several passes is made for: uploads differ
	maxPasses   = 6
	entryMemory = 72 // bytes of an index entry in memory
	windowMin   = 128 << 10
	windowMax   = 8 << 20
	windowWorth = 4 << 20 // a job reads fewer objects side by side rather than have smaller windows on them: each GET costs the same
)

// Reason says which rule made a job.
type Reason uint8

// The reasons, in the order of the rules.
const (
	Split  Reason = iota // parts of old stream-set objects become stream objects, small stream objects are merged
	Dead                 // what is alive in mostly dead objects is written anew
	Merge                // small stream-set objects become a larger one
	Dense                // large stream-set objects become such with fewer ranges
	Gather               // a stream in very many stream-set objects is collected
)

func (r Reason) String() string {
	return [...]string{"split", "dead", "merge", "dense", "gather"}[min(r, Gather)]
}

// Job is what is done in one go. No object is read by two jobs of a plan.
type Job struct {
	Reason  Reason
	Bytes   int64     // record bytes
	Sources []*Object // what is read
	Runs    []JobRun  // stream objects first; among each kind ascending by (stream, offset)
}

// JobRun is a contiguous part of a stream that is rewritten as a whole.
type JobRun struct {
	Stream base.StreamID
	Range  base.OffsetRange
	Kind   stream.ObjectKind // of the objects that are made of it
	Bytes  int64
	Pieces []JobPiece // ascending, without gaps
}

// JobPiece is one range of the metadata.
type JobPiece struct {
	Object *Object
	Range  base.OffsetRange
	Bytes  int64
}

// planner is the state of one Plan.
type planner struct {
	lim    Limits
	nowMS  int64
	fresh  map[base.ObjectID]int64
	used   map[base.ObjectID]bool // read by a job that is complete
	jobs   []Job
	pieces []segPiece // of all objects; ascending by (stream, offset)

	job     Job // being collected by add
	sources map[base.ObjectID]bool
	sets    int   // stream-set objects among sources,
	index   int64 // and the memory of their indexes
}

// segPiece is a piece with its stream.
type segPiece struct {
	stream base.StreamID
	JobPiece
}

// Plan says what is to be done about what v shows. fresh has the live bytes of objects when they were made, of those that one made oneself: as long as they are
// all alive, rewriting them gains nothing, whatever their size.
//
// Done until it says nothing any more, what remains is bounded (doc.go has the arithmetic). It looks at every range a few times; it allocates
// about 100 bytes for each.
func Plan(v View, lim Limits, nowMS int64, fresh map[base.ObjectID]int64) []Job {
	lim.Sources = max(lim.Sources, fanIn)
	p := &planner{lim: lim, nowMS: nowMS, fresh: fresh, used: map[base.ObjectID]bool{}, sources: map[base.ObjectID]bool{}}
	objects := make([]*Object, len(v.Objects))
	for i := range v.Objects {
		objects[i] = &v.Objects[i]
	}
	p.pieces = piecesOf(objects)
	p.lim.Enough = p.enough()
	p.split()
	p.dead(objects)
	p.merge(objects)
	p.dense(objects)
	p.gather()
	return p.jobs
}

// piecesOf returns the pieces of objects, ascending.
func piecesOf(objects []*Object) []segPiece {
	n := 0
	for _, o := range objects {
		n += len(o.Ranges)
	}
	pieces := make([]segPiece, 0, n)
	for _, o := range objects {
		for _, r := range o.Ranges {
			pieces = append(pieces, segPiece{r.Stream, JobPiece{o, r.OffsetRange, r.Bytes}})
		}
	}
	slices.SortFunc(pieces, func(a, b segPiece) int {
		return cmp.Or(cmp.Compare(a.stream, b.stream), cmp.Compare(a.Range.Start, b.Range.Start))
	})
	return pieces
}

// enough lowers Enough to what suits readers that go round all streams, as consumers of wide topics do: what they have begun of each stream has to stay in memory until they come
// back to it, or is read again. So ranges are as large as fit that memory together; it is a power of two, so that little is rewritten when streams come and go. Where they would become too many
// for the metadata, they are larger all the same.
func (p *planner) enough() int64 {
	if p.lim.Readers <= 0 {
		return p.lim.Enough
	}
	var each []int64
	total := bytesOf(p.pieces)
	for i := 0; i < len(p.pieces); {
		from := i
		for i++; i < len(p.pieces) && p.pieces[i].stream == p.pieces[from].stream; i++ {
		}
		each = append(each, bytesOf(p.pieces[from:i]))
	}
	streams := int64(0)
	for _, bytes := range each {
		if bytes >= total/int64(len(each))/4 { // not what has next to nothing, as the streams of a partition's own records
			streams++
		}
	}
	want := max(p.lim.Readers/2/max(streams, 1), total/rangesMost, enoughLeast)
	return min(1<<(bits.Len64(uint64(want))-1), p.lim.Enough)
}

// segments calls f for every maximal run of neighbours among the pieces that keep holds for.
func segments(pieces []segPiece, keep func(*segPiece) bool, f func([]segPiece)) {
	for i := 0; i < len(pieces); {
		if !keep(&pieces[i]) {
			i++
			continue
		}
		j := i + 1
		for j < len(pieces) && pieces[j].stream == pieces[i].stream && pieces[j].Range.Start == pieces[j-1].Range.End && keep(&pieces[j]) {
			j++
		}
		f(pieces[i:j])
		i = j
	}
}

func all(*segPiece) bool { return true }

func bytesOf(pieces []segPiece) (n int64) {
	for i := range pieces {
		n += pieces[i].Bytes
	}
	return n
}

func newRun(kind stream.ObjectKind, pieces []segPiece) JobRun {
	r := JobRun{Stream: pieces[0].stream, Kind: kind, Range: base.OffsetRange{Start: pieces[0].Range.Start, End: pieces[len(pieces)-1].Range.End}}
	r.Pieces = make([]JobPiece, len(pieces))
	for i := range pieces {
		r.Pieces[i] = pieces[i].JobPiece
		r.Bytes += pieces[i].Bytes
	}
	return r
}

func (p *planner) free(o *Object) bool { return !p.used[o.ID] }

// old reports whether parts of streams are to be taken out of a stream-set object.
func (p *planner) old(o *Object) bool {
	return p.nowMS-o.PreparedMS >= p.lim.SplitAgeMS && !p.settled(o)
}

// settled reports whether little would be won by putting what is in a stream-set object together with more of the same streams.
func (p *planner) settled(o *Object) bool {
	return p.lim.Enough > 0 && !p.small(o) && o.live() >= p.lim.Enough*int64(len(o.Ranges))
}

// add adds a run to the job that is being collected, beginning another one if it would become too large. A run alone may be: its pieces are
// read one after the other. It does nothing when one of the run's objects is read by another job.
func (p *planner) add(why Reason, r JobRun) {
	objects, sets, index := p.counted(&r)
	if objects >= 0 && len(p.job.Runs) > 0 && (p.job.Bytes+r.Bytes > p.lim.JobBytes || len(p.sources)+objects > jobObjects ||
		p.sets+sets > p.lim.Sources || p.index+index > p.lim.IndexBytes && p.sets+sets > fanIn) {
		p.finish(why)
		objects, sets, index = p.counted(&r)
	}
	if objects < 0 {
		return
	}
	for _, piece := range r.Pieces {
		if !p.sources[piece.Object.ID] {
			p.sources[piece.Object.ID] = true
			p.job.Sources = append(p.job.Sources, piece.Object)
		}
	}
	p.sets += sets
	p.index += index
	p.job.Bytes += r.Bytes
	p.job.Runs = append(p.job.Runs, r)
}

// counted returns how many sources a run adds to the job, how many of them are stream-set objects, and the memory of their indexes; -1 if one is
// taken.
func (p *planner) counted(r *JobRun) (objects, sets int, index int64) {
	var last base.ObjectID
	for _, piece := range r.Pieces {
		o := piece.Object
		if !p.free(o) {
			return -1, 0, 0
		}
		if !p.sources[o.ID] && o.ID != last {
			last = o.ID
			objects++
			if o.Kind == stream.SSO {
				sets++
				index += o.indexBytes()
			}
		}
	}
	return objects, sets, index
}

// finish ends the job that is being collected.
func (p *planner) finish(why Reason) {
	if len(p.job.Runs) > 0 {
		p.job.Reason = why
		slices.SortStableFunc(p.job.Runs, func(a, b JobRun) int {
			return cmp.Or(-cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Range.Start, b.Range.Start))
		})
		p.jobs = append(p.jobs, p.job)
	}
	for id := range p.sources {
		p.used[id] = true
	}
	clear(p.sources)
	p.job, p.sets, p.index = Job{}, 0, 0
}

// whole makes a job of everything in some stream-set objects.
func (p *planner) whole(why Reason, objects []*Object, pieces []segPiece) {
	large := p.soBytes(objects)
	p.job.Sources = objects
	for _, o := range objects {
		p.sources[o.ID] = true
	}
	segments(pieces, all, func(seg []segPiece) {
		for len(seg) > 0 {
			n, kind := p.cut(seg), stream.SSO
			if bytesOf(seg[:n]) >= large {
				kind = stream.SO
			}
			r := newRun(kind, seg[:n])
			p.job.Bytes += r.Bytes
			p.job.Runs = append(p.job.Runs, r)
			seg = seg[n:]
		}
	})
	p.finish(why)
}

// cut returns how many pieces from the first one on make a run; at least one.
func (p *planner) cut(seg []segPiece) (n int) {
	for total := int64(0); n < min(len(seg), runPieces) && (n == 0 || total+seg[n].Bytes <= runObjects*p.lim.MaxObject); n++ {
		total += seg[n].Bytes
	}
	return n
}

// soBytes is from how many bytes on a part of a stream gets stream objects.
func (p *planner) soBytes(objects []*Object) int64 {
	large := p.lim.SOBytes
	for _, o := range objects {
		if p.old(o) {
			large = min(large, p.lim.SplitBytes)
		}
	}
	return large
}

// split takes parts of streams out of old stream-set objects, and merges stream objects, also with what lies between them in old stream-set objects. What
// else is in the stream-set objects stays where it is.
func (p *planner) split() {
	usable := func(s *segPiece) bool { return s.Object.Kind == stream.SO || p.old(s.Object) }
	segments(p.pieces, usable, func(seg []segPiece) {
		for i := 0; i < len(seg); {
			n := 0
			for i+n < len(seg) && seg[i+n].Object.Kind == stream.SSO {
				n++
			}
			if n > 0 {
				n = p.cut(seg[i : i+n])
			}
			if n > 0 && bytesOf(seg[i:i+n]) >= p.lim.SplitBytes {
				p.add(Split, newRun(stream.SO, seg[i:i+n]))
				i += n
			} else if w := p.window(seg[i:]); w > 0 {
				p.add(Split, newRun(stream.SO, seg[i:i+w]))
				i += w
			} else {
				i++
			}
		}
	})
	p.finish(Split)
}

// window returns how many pieces from the first one on are to become one stream object, 0 if none: the most that fit, if that makes
// an object several times the largest of them, or if there are many.
func (p *planner) window(seg []segPiece) int {
	n, sos, total, largest := 0, 0, int64(0), int64(0)
	for ; n < min(len(seg), runPieces) && total+seg[n].Bytes <= p.lim.MaxObject; n++ {
		total += seg[n].Bytes
		largest = max(largest, seg[n].Bytes)
		if seg[n].Object.Kind == stream.SO {
			sos++
		}
	}
	if sos >= crowdedSOs || sos >= 2 && total >= soFanIn*largest {
		return n
	}
	return 0
}

// live returns the record bytes that are referred to.
func (o *Object) live() (n int64) {
	for i := range o.Ranges {
		n += o.Ranges[i].Bytes
	}
	return n
}

// indexBytes is what the object's index takes in memory, about.
func (o *Object) indexBytes() int64 {
	return entryMemory * (int64(len(o.Ranges)) + o.Size/object.BlockBytes)
}

// mostlyDead reports whether writing the object anew halves it, framing aside.
func (p *planner) mostlyDead(o *Object) bool {
	live := o.live()
	if was, mine := p.fresh[o.ID]; mine && live == was {
		return false
	}
	return o.Size > 2*live+rangeSlack*int64(len(o.Ranges))+deadSlack
}

// dead rewrites objects that are mostly dead.
func (p *planner) dead(objects []*Object) {
	var sets []*Object
	for _, o := range objects {
		if !p.free(o) || !p.mostlyDead(o) {
			continue
		}
		if o.Kind == stream.SSO {
			sets = append(sets, o)
			continue
		}
		segments(piecesOf([]*Object{o}), all, func(seg []segPiece) { p.add(Dead, newRun(stream.SO, seg)) })
	}
	p.finish(Dead)
	for len(sets) > 0 {
		n := p.chunk(sets, p.fan(sets[0], fanIn))
		p.whole(Dead, sets[:n:n], piecesOf(sets[:n]))
		sets = sets[n:]
	}
}

// fan returns how many stream-set objects like o are to be merged at a time, least at least: no more than what brings them to Enough bytes per range in as few passes as the most would,
// because fewer are read by larger windows, and each GET costs the same.
func (p *planner) fan(o *Object, least int) int {
	most := p.lim.Sources
	if p.lim.Enough == 0 || o.live() == 0 {
		return most
	}
	times := p.lim.Enough * enoughSlack / 4 * int64(len(o.Ranges)) / o.live()
	for passes := 1; passes <= maxPasses; passes++ {
		for n := least; n <= most; n++ {
			product := int64(1)
			for range passes {
				product *= int64(n)
			}
			if product >= times {
				return n
			}
		}
	}
	return most
}

// chunk returns how many of the objects, from the first one on, a job may take, of most; at least one.
func (p *planner) chunk(objects []*Object, most int) int {
	n, total, index := 0, int64(0), int64(0)
	most = min(len(objects), most)
	for n < most && (n == 0 || total+objects[n].live() <= p.lim.JobBytes) &&
		(n < fanIn || index+objects[n].indexBytes() <= p.lim.IndexBytes) {
		total += objects[n].live()
		index += objects[n].indexBytes()
		n++
	}
	return n
}

// small reports whether a stream-set object is to be merged whatever is in it.
func (p *planner) small(o *Object) bool {
	return o.live() < p.lim.MaxObject/4 && len(o.Ranges) < smallRanges
}

// merge merges small stream-set objects of about the same size.
func (p *planner) merge(objects []*Object) {
	tiers := map[int][]*Object{}
	top := 0
	for _, o := range objects {
		if o.Kind == stream.SSO && p.free(o) && p.small(o) {
			t := tier(o.live()/tierBytes, 3)
			tiers[t] = append(tiers[t], o)
			top = max(top, t)
		}
	}
	for t := 0; t <= top; t++ {
		for group := tiers[t]; len(group) >= fanIn; {
			n := p.chunk(group, p.fan(group[0], fanIn))
			if n < fanIn {
				break
			}
			p.whole(Merge, group[:n:n], piecesOf(group[:n]))
			group = group[n:]
		}
	}
}

// tier returns the logarithm of n to the base 2^b, 0 for n = 0.
func tier(n int64, b int) int { return bits.Len64(uint64(max(n, 1))) / b }

// dense merges large stream-set objects that hold neighbouring ranges of the same streams. Those that hold the same streams lie side by side in
// the order of first streams, for the objects that a merge makes are cut by stream.
func (p *planner) dense(objects []*Object) {
	tiers := map[int][]*Object{}
	top := 0
	for _, o := range objects {
		if o.Kind == stream.SSO && p.free(o) && !p.small(o) && !p.settled(o) {
			t := tier(o.live()/int64(len(o.Ranges))/densityUnit, 2)
			tiers[t] = append(tiers[t], o)
			top = max(top, t)
		}
	}
	for t := 0; t <= top; t++ {
		group := tiers[t]
		slices.SortFunc(group, func(a, b *Object) int {
			return cmp.Or(cmp.Compare(a.Ranges[0].Stream, b.Ranges[0].Stream), cmp.Compare(a.ID, b.ID))
		})
		for len(group) >= tightness {
			n := 0
			for _, most := range []int{p.fan(group[0], tightness), p.lim.Sources} { // few suffice where objects hold the same streams
				n = overlapping(group[:p.chunk(group, most)])
				if pieces := piecesOf(group[:n]); p.ranges(pieces)*tightness <= len(pieces) {
					p.whole(Dense, group[:n:n], pieces)
					break
				}
			}
			if !p.used[group[0].ID] {
				n = (n + 1) / 2
			}
			group = group[n:]
		}
	}
}

// overlapping returns how many objects, from the first one on, have no stream id between them that none of them spans.
func overlapping(group []*Object) int {
	last := base.StreamID(0)
	for i, o := range group {
		if i > 0 && o.Ranges[0].Stream > last {
			return i
		}
		last = max(last, o.Ranges[len(o.Ranges)-1].Stream)
	}
	return len(group)
}

// ranges returns how many ranges a rewrite of the pieces leaves.
func (p *planner) ranges(pieces []segPiece) (n int) {
	segments(pieces, all, func(seg []segPiece) { n += 1 + int(bytesOf(seg)/p.lim.MaxObject) })
	return n
}

// gather collects streams that lie in very many neighbouring ranges of stream-set objects.
func (p *planner) gather() {
	sets := func(s *segPiece) bool { return s.Object.Kind == stream.SSO }
	segments(p.pieces, sets, func(seg []segPiece) {
		for len(seg) >= crowdedSSOs {
			n, kind := min(len(seg), p.lim.Sources), stream.SSO
			bytes := bytesOf(seg[:n])
			if bytes >= p.lim.SOBytes {
				kind = stream.SO
			}
			if p.lim.Enough == 0 || bytes < p.lim.Enough*int64(n) {
				p.add(Gather, newRun(kind, seg[:n]))
			}
			seg = seg[n:]
		}
	})
	p.finish(Gather)
}
