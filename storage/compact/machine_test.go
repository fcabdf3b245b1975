package compact

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/storage/stream"
)

// world is a model of the metadata and of what an execution does, without bytes: a list of ranges per stream, and what they lie in.
type world struct {
	lim     Limits
	nowMS   int64
	next    base.ObjectID
	objects map[base.ObjectID]*Object // without ranges
	streams map[base.StreamID][]modelRange
	fresh   map[base.ObjectID]int64

	ingested, read, written int64
	puts                    int
}

type modelRange struct {
	object base.ObjectID
	LiveRange
}

func newWorld(lim Limits) *world {
	return &world{lim: lim, objects: map[base.ObjectID]*Object{}, streams: map[base.StreamID][]modelRange{}, fresh: map[base.ObjectID]int64{}}
}

// framing is what an object takes beside record bytes.
func framing(ranges int, bytes int64) int64 { return 192 + 104*int64(ranges) + bytes/20 }

func (w *world) object(kind stream.ObjectKind) *Object {
	w.next++
	o := &Object{ID: w.next, Kind: kind, PreparedMS: w.nowMS}
	w.objects[o.ID] = o
	return o
}

// upload appends bytes to streams as an upload does.
func (w *world) upload(bytes map[base.StreamID]int64, soBytes int64) {
	var set *Object
	ids := make([]base.StreamID, 0, len(bytes))
	for id := range bytes {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		n := bytes[id]
		o := set
		if n >= soBytes {
			o = w.object(stream.SO)
		} else if set == nil {
			set = w.object(stream.SSO)
			o = set
		}
		at := base.Offset(0)
		if l := w.streams[id]; len(l) > 0 {
			at = l[len(l)-1].End
		}
		w.streams[id] = append(w.streams[id], modelRange{o.ID, LiveRange{Stream: id, OffsetRange: base.OffsetRange{Start: at, End: at + base.Offset(n)}, Bytes: n}})
		o.Size += n + framing(1, n)
		w.ingested += n
	}
}

// trim drops ranges from the front of a stream.
func (w *world) trim(id base.StreamID, ranges int) {
	w.streams[id] = w.streams[id][min(ranges, max(len(w.streams[id])-1, 0)):]
}

func (w *world) view() View {
	ranges := map[base.ObjectID][]LiveRange{}
	for _, l := range w.streams {
		for _, r := range l {
			ranges[r.object] = append(ranges[r.object], r.LiveRange)
		}
	}
	var v View
	for id, rs := range ranges {
		o := *w.objects[id]
		slices.SortFunc(rs, func(a, b LiveRange) int {
			return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Start, b.Start))
		})
		o.Ranges = rs
		v.Objects = append(v.Objects, o)
	}
	slices.SortFunc(v.Objects, func(a, b Object) int { return cmp.Compare(a.ID, b.ID) })
	return v
}

// execute does what an execution does with an Output. Offsets are bytes here, so a run is cut anywhere.
func (w *world) execute(t fataler, j Job) {
	var o *Object
	for _, r := range j.Runs {
		if o != nil && (r.Kind == stream.SO || o.Kind != r.Kind || o.Size+r.Bytes > w.lim.MaxObject) {
			o = nil
		}
		var made []modelRange
		for at := r.Range.Start; at < r.Range.End; {
			if o != nil && o.Size >= w.lim.MaxObject {
				o = nil
			}
			if o == nil {
				o = w.object(r.Kind)
				w.puts++
			}
			n := min(r.Range.End-at, base.Offset(w.lim.MaxObject-o.Size))
			made = append(made, modelRange{o.ID, LiveRange{Stream: r.Stream, OffsetRange: base.OffsetRange{Start: at, End: at + n}, Bytes: int64(n)}})
			o.Size += int64(n)
			w.fresh[o.ID] += int64(n)
			at += n
		}
		w.replace(t, r, made)
		w.read += r.Bytes
		w.written += r.Bytes
	}
}

// replace is the check of the metadata.
func (w *world) replace(t fataler, r JobRun, made []modelRange) {
	l := w.streams[r.Stream]
	i := slices.IndexFunc(l, func(m modelRange) bool { return m.Start == r.Range.Start })
	if i < 0 || i+len(r.Pieces) > len(l) || l[i+len(r.Pieces)-1].End != r.Range.End {
		t.Fatal(fmt.Sprintf("run %v of stream %d is not made of ranges of the stream", r.Range, r.Stream))
	}
	total := int64(0)
	for k, p := range r.Pieces {
		if m := l[i+k]; m.object != p.Object.ID || m.OffsetRange != p.Range || m.Bytes != p.Bytes {
			t.Fatal(fmt.Sprintf("piece %d of stream %d is %v of object %d, the metadata has %+v", k, r.Stream, p.Range, p.Object.ID, m))
		}
		total += p.Bytes
	}
	if total != r.Bytes {
		t.Fatal(fmt.Sprintf("run %v has %d bytes, its pieces %d", r.Range, r.Bytes, total))
	}
	w.streams[r.Stream] = slices.Concat(l[:i], made, l[i+len(r.Pieces):])
}

// finishObjects adds the framing to objects that were made, when their ranges are known.
func (w *world) finishObjects() {
	for _, o := range w.view().Objects {
		if m := w.objects[o.ID]; m.Size == w.fresh[o.ID] && m.Size > 0 {
			m.Size += framing(len(o.Ranges), m.Size)
		}
	}
}

// settle plans and executes until nothing is left, and checks every plan.
func (w *world) settle(t fataler) (plans int) {
	for ; ; plans++ {
		v := w.view()
		jobs := Plan(v, w.lim, w.nowMS, w.fresh)
		checkPlan(t, v, jobs, w.lim)
		if len(jobs) == 0 {
			return plans
		}
		if plans > 200 {
			t.Fatal(fmt.Sprintf("no end: plan %d has %d jobs, the first: %s of %d objects", plans, len(jobs), jobs[0].Reason, len(jobs[0].Sources)))
		}
		for _, j := range jobs {
			w.execute(t, j)
		}
		w.finishObjects()
	}
}

// checkPlan: no object in two jobs, runs ascending and disjoint, sources named once, bounds kept.
func checkPlan(t fataler, v View, jobs []Job, lim Limits) {
	taken := map[base.ObjectID]int{}
	for k, j := range jobs {
		named, sets, bytes := map[base.ObjectID]bool{}, 0, int64(0)
		for _, o := range j.Sources {
			if at, ok := taken[o.ID]; ok {
				t.Fatal(fmt.Sprintf("object %d is read by jobs %d and %d", o.ID, at, k))
			}
			taken[o.ID], named[o.ID] = k, true
			if o.Kind == stream.SSO {
				sets++
			}
		}
		for i, r := range j.Runs {
			bytes += r.Bytes
			if i > 0 {
				if b := j.Runs[i-1]; b.Kind < r.Kind || b.Kind == r.Kind && (b.Stream > r.Stream || b.Stream == r.Stream && b.Range.End > r.Range.Start) {
					t.Fatal(fmt.Sprintf("job %d (%s): run %v of stream %d after %v of stream %d", k, j.Reason, r.Range, r.Stream, b.Range, b.Stream))
				}
			}
			for _, p := range r.Pieces {
				if !named[p.Object.ID] {
					t.Fatal(fmt.Sprintf("job %d does not name object %d", k, p.Object.ID))
				}
			}
		}
		if bytes != j.Bytes || len(j.Runs) > 1 && (bytes > lim.JobBytes && len(j.Sources) > 1 || sets > max(lim.Sources, fanIn)) {
			t.Fatal(fmt.Sprintf("job %d (%s) reads %d bytes (said to be %d) of %d stream-set objects", k, j.Reason, bytes, j.Bytes, sets))
		}
	}
}

// bounds checks what doc.go promises of a settled world, long after everything has become old.
func (w *world) bounds(t fataler) {
	w.nowMS += w.lim.SplitAgeMS
	w.settle(t)
	v := w.view()
	small, total, sos := 0, int64(0), 0
	for i := range v.Objects {
		o := &v.Objects[i]
		live := o.live()
		if o.Kind == stream.SO {
			sos++
			continue
		}
		total += live
		if live < w.lim.MaxObject/4 {
			small++
		}
		if _, mine := w.fresh[o.ID]; !mine && o.Size > 2*live+rangeSlack*int64(len(o.Ranges))+deadSlack {
			t.Fatal(fmt.Sprintf("object %d has %d bytes, %d of them alive", o.ID, o.Size, live))
		}
	}
	tiers := tier(w.lim.MaxObject/4/tierBytes, 3) + 1
	if small > tiers*(fanIn-1) {
		t.Fatal(fmt.Sprintf("%d small stream-set objects in %d tiers", small, tiers))
	}
	if n := int64(len(v.Objects) - sos - small); n > 4*total/w.lim.MaxObject {
		t.Fatal(fmt.Sprintf("%d large stream-set objects for %d bytes", n, total))
	}
	for id, l := range w.streams {
		w.streamBounds(t, id, l)
	}
}

// streamBounds: so many stream objects for so many bytes, so many ranges of stream-set objects between two of those.
func (w *world) streamBounds(t fataler, id base.StreamID, l []modelRange) {
	sos, sets, bytes, inSets := 0, 0, int64(0), int64(0)
	for _, r := range l {
		bytes += r.Bytes
		if w.objects[r.object].Kind == stream.SO {
			sos, sets, inSets = sos+1, 0, 0
			continue
		}
		inSets += r.Bytes // ranges that are large enough count by their bytes
		most := int64(min(crowdedSSOs, max(w.lim.Sources, fanIn)*4))
		if w.lim.Enough > 0 {
			most += inSets / w.lim.Enough
		}
		if sets++; int64(sets) >= most {
			t.Fatal(fmt.Sprintf("stream %d has %d neighbouring ranges in stream-set objects, with %d bytes", id, sets, inSets))
		}
	}
	if most := crowdedSOs * (bytes/w.lim.MaxObject + 1); int64(sos) > most {
		t.Fatal(fmt.Sprintf("stream %d with %d bytes has %d stream objects, at most %d are due", id, bytes, sos, most))
	}
}

func drawLimits(t *rapid.T) Limits {
	object := rapid.Int64Range(1<<14, 1<<20).Draw(t, "largest object")
	return Limits{
		MaxObject: object, SOBytes: rapid.Int64Range(object/64, object/2).Draw(t, "SO bytes"), SplitBytes: rapid.Int64Range(object/128, object/64).Draw(t, "split bytes"),
		Enough: rapid.SampledFrom([]int64{0, object / 64, object / 8, object / 2}).Draw(t, "enough"), SplitAgeMS: 1000, JobBytes: rapid.Int64Range(16*object, 256*object).Draw(t, "job bytes"), Sources: rapid.IntRange(1, 64).Draw(t, "sources"), IndexBytes: rapid.Int64Range(0, 1<<14).Draw(t, "index bytes"),
	}
}

// TestPlan: whatever was uploaded and trimmed, every plan proves coverage against the metadata, plans come to an end, and what remains is bounded.
func TestPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(drawLimits(t))
		streams := rapid.IntRange(1, 30).Draw(t, "streams")
		for range rapid.IntRange(1, 40).Draw(t, "rounds") {
			for range rapid.IntRange(1, 12).Draw(t, "uploads") {
				m := map[base.StreamID]int64{}
				for range rapid.IntRange(1, streams).Draw(t, "streams of an upload") {
					m[base.StreamID(rapid.IntRange(1, streams).Draw(t, "stream"))] = 1 << rapid.IntRange(0, 18).Draw(t, "bytes")
				}
				w.upload(m, w.lim.SOBytes)
				w.nowMS += 100
			}
			if len(w.streams) > 0 && rapid.IntRange(0, 2).Draw(t, "trim") == 0 {
				w.trim(base.StreamID(rapid.IntRange(1, streams).Draw(t, "trimmed")), rapid.IntRange(1, 20).Draw(t, "ranges"))
			}
			w.settle(t)
		}
		w.bounds(t)
	})
}

// TestCrowded: patterns in which no rewrite pays by its ratio do not grow without bound: stream objects of sizes like the marks of a ruler, and a stream that
// lies in many large stream-set objects which have nothing else in common.
func TestCrowded(t *testing.T) {
	lim := Limits{MaxObject: 1 << 20, SOBytes: 128 << 10, SplitBytes: 16 << 10, SplitAgeMS: 1 << 40, JobBytes: 128 << 20, Sources: 64, IndexBytes: 32 << 20}
	ruler := newWorld(lim)
	for i := 1; i <= 16; i++ {
		ruler.upload(map[base.StreamID]int64{1: int64(i&-i) * 10_000}, 1)
	}
	ruler.settle(t)
	if n := len(ruler.streams[1]); n >= crowdedSOs {
		t.Errorf("%d stream objects", n)
	}
	common := newWorld(lim)
	for i := range 40 {
		m := map[base.StreamID]int64{1 << 30: 100}
		for k := range 300 {
			m[base.StreamID(i*1000+k)] = 1000
		}
		common.upload(m, lim.SOBytes)
	}
	common.settle(t)
	if n := len(common.streams[1<<30]); n >= crowdedSSOs {
		t.Errorf("a stream in %d stream-set objects", n)
	}
	if common.written > common.ingested/100 {
		t.Errorf("%d bytes were written to gather %d", common.written, 40*100)
	}
}

// TestOursIsNotDead: an object that we made and that is all alive is not rewritten, however much framing it has; when part of it dies it is.
func TestOursIsNotDead(t *testing.T) {
	lim := Limits{MaxObject: 1 << 20, SOBytes: 128 << 10, SplitBytes: 16 << 10, SplitAgeMS: 1 << 40, JobBytes: 128 << 20, Sources: 64, IndexBytes: 32 << 20}
	v := View{Objects: []Object{{ID: 7, Kind: stream.SO, Size: 100_000, Ranges: []LiveRange{{Stream: 1, OffsetRange: base.OffsetRange{End: 10}, Bytes: 1000}}}}}
	if jobs := Plan(v, lim, 0, map[base.ObjectID]int64{7: 1000}); len(jobs) != 0 {
		t.Errorf("%+v", jobs)
	}
	for _, fresh := range []map[base.ObjectID]int64{nil, {7: 1001}} {
		if jobs := Plan(v, lim, 0, fresh); len(jobs) != 1 || jobs[0].Reason != Dead {
			t.Errorf("%v: %+v", fresh, jobs)
		}
	}
}
