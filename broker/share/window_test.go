package share

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/base"
	"sluice/wire/kerr"
)

// show renders a window: "0-4 available 0 · 5-5 acquired 1 m".
func show(w *window) string {
	var parts []string
	for _, s := range w.spans {
		t := fmt.Sprintf("%d-%d %s %d", s.first, s.last, s.state, s.count)
		if s.member != "" {
			t += " " + s.member
		}
		if s.phase != settled {
			t += fmt.Sprintf(" → %s %d", s.to, s.toCount)
		}
		parts = append(parts, t)
	}
	return fmt.Sprintf("[%d,%d) %s", w.start, w.end, strings.Join(parts, " · "))
}

func check(t testing.TB, w *window, want string) {
	t.Helper()
	if got := show(w); got != want {
		t.Fatalf("\ngot  %s\nwant %s", got, want)
	}
}

func ranges(bounds ...base.Offset) (out []base.OffsetRange) {
	for i := 0; i < len(bounds); i += 2 {
		out = append(out, base.OffsetRange{Start: bounds[i], End: bounds[i+1]})
	}
	return out
}

var testLimits = limits{deliveryCount: 2, lock: time.Minute, records: 20}

func write1(t testing.TB, w *window, ok bool) Write {
	t.Helper()
	out, had := w.nextWrite()
	if !had {
		t.Fatal("nothing to write")
	}
	w.wrote(ok)
	return out
}

func TestWindowStory(t *testing.T) {
	now := time.Unix(100, 0)
	w := newWindow(testLimits, State{Start: NoOffset}, 5)
	if out := write1(t, w, true); out.Start != 5 || len(out.Batches) != 0 {
		t.Fatal("the start that was chosen is not written:", out)
	}
	got := w.acquire(now, "m", ranges(5, 8, 8, 10), 4, 100, false)
	if !slices.Equal(got, []acquired{{5, 9, 1}}) {
		t.Fatal(got) // a batch that was begun is taken whole
	}
	if q, code := w.acknowledge(now, "other", []ackBatch{{5, 5, []AckType{AckAccept}}}); q || code != kerr.InvalidRecordState {
		t.Fatal(q, code)
	}
	if q, code := w.acknowledge(now, "m", []ackBatch{{5, 5, []AckType{AckAccept}}, {9, 10, []AckType{AckAccept}}}); q || code != kerr.InvalidRequest {
		t.Fatal(q, code)
	}
	check(t, w, "[5,10) 5-9 acquired 1 m") // all or nothing
	types := []AckType{AckAccept, AckRelease, AckReject, AckGap, AckAccept}
	if q, code := w.acknowledge(now, "m", []ackBatch{{5, 9, types}}); !q || code != kerr.None {
		t.Fatal(q, code)
	}
	check(t, w, "[5,10) 5-5 acquired 1 m → acknowledged 1 · 6-6 acquired 1 m → available 1 · 7-8 acquired 1 m → archived 1 · 9-9 acquired 1 m → acknowledged 1")
	if at, _ := w.next(); at != 10 {
		t.Fatal("handed out before it was durable:", at)
	}
	out := write1(t, w, true)
	if out.Start != 6 || out.Complete != 3 || !slices.Equal(out.Batches, []StateBatch{{6, 6, Available, 1}, {7, 8, Archived, 1}, {9, 9, Acknowledged, 1}}) {
		t.Fatal(out)
	}
	check(t, w, "[6,10) 6-6 available 1 · 7-8 archived 1 · 9-9 acknowledged 1")
	if got = w.acquire(now, "n", ranges(6, 10), 9, 100, false); !slices.Equal(got, []acquired{{6, 6, 2}}) {
		t.Fatal(got)
	}
	w.expire(now.Add(time.Minute)) // the second delivery was the last that is allowed
	write1(t, w, true)
	check(t, w, "[10,10) ")
}

func TestWindowLimits(t *testing.T) {
	now := time.Unix(100, 0)
	w := newWindow(testLimits, State{}, 0)
	if got := w.acquire(now, "m", ranges(0, 10), 3, 100, true); !slices.Equal(got, []acquired{{0, 2, 1}}) {
		t.Fatal("strict:", got)
	}
	if got := w.acquire(now, "m", ranges(0, 10, 10, 30, 30, 40), 100, 15, false); !slices.Equal(got, []acquired{{3, 9, 1}, {10, 29, 1}}) {
		t.Fatal("a window that is full takes the rest of a batch and no more:", got)
	}
	if _, ok := w.next(); ok {
		t.Fatal("the window is full")
	}
	w.release("m")
	write1(t, w, true)
	check(t, w, "[0,30) 0-9 available 1 · 10-29 available 1") // two lots: the first batch was cut
}

func TestWindowForgetsWhatIsDeleted(t *testing.T) {
	now := time.Unix(100, 0)
	w := newWindow(testLimits, State{}, 0)
	w.acquire(now, "m", ranges(0, 10), 10, 100, false)
	w.trim(4)
	check(t, w, "[4,10) 4-9 acquired 1 m")
	if q, code := w.acknowledge(now, "m", []ackBatch{{0, 9, []AckType{AckAccept}}}); !q || code != kerr.None {
		t.Fatal(q, code) // what is gone may be acknowledged
	}
	write1(t, w, true)
	check(t, w, "[10,10) ")
	w.trim(12)
	check(t, w, "[12,12) ")
}

// A write that failed may be durable. What follows must not bring back what it, or one before it, had made durable.
func TestWindowAfterAFailedWrite(t *testing.T) {
	now := time.Unix(100, 0)
	w := newWindow(testLimits, State{}, 0)
	w.acquire(now, "m", ranges(0, 10), 10, 100, false)
	w.acknowledge(now, "m", []ackBatch{{5, 9, []AckType{AckAccept}}})
	write1(t, w, true)
	w.acknowledge(now, "m", []ackBatch{{0, 4, []AckType{AckAccept}}})
	if out := write1(t, w, false); out.Start != 10 {
		t.Fatal(out)
	}
	check(t, w, "[0,10) 0-4 acquired 1 m · 5-9 acknowledged 1")
	if out := write1(t, w, true); out.Start != 0 || !slices.Equal(out.Batches, []StateBatch{{0, 4, Available, 0}, {5, 9, Acknowledged, 1}}) {
		t.Fatal(out)
	}
}

// One fetch takes what lies on both sides of records that nobody is to see.
func TestWindowTakesAcrossWhatIsHidden(t *testing.T) {
	w := newWindow(limits{deliveryCount: 5, lock: time.Minute, records: 100}, State{Complete: -1}, 0)
	in := contents{visible: ranges(0, 2, 3, 4, 5, 6), hidden: ranges(2, 3, 4, 5, 6, 7)}
	if got := w.takeIn(time.Unix(0, 0), "m", in, 100, 100, false); !slices.Equal(got, []acquired{{0, 1, 1}, {3, 3, 1}, {5, 5, 1}}) {
		t.Fatal(got)
	}
	write1(t, w, true)
	check(t, w, "[0,7) 0-1 acquired 1 m · 2-2 archived 0 · 3-3 acquired 1 m · 4-4 archived 0 · 5-5 acquired 1 m · 6-6 archived 0")
}

// TestWindowProperty drives a window at random, with a store that may lose writes or make them durable and say that it failed, and crashes
// that leave only what is durable. See the package's invariants.
func TestWindowProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const end = 40
		r := &rig{t: t, now: time.Unix(0, 0), limit: int16(rapid.IntRange(2, 4).Draw(t, "limit")), done: map[base.Offset]bool{}, counts: map[base.Offset]int{},
			buries: rapid.Bool().Draw(t, "buries"), letters: map[base.Offset]int{}, unburied: map[base.Offset]bool{}}
		r.durable.Complete = -1
		r.load()
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			switch rapid.IntRange(0, 11).Draw(t, "step") {
			case 0, 1, 2:
				r.fetch(end)
			case 3, 4, 5:
				r.acknowledge()
			case 6:
				r.now = r.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "seconds")) * time.Second)
				r.w.expire(r.now)
			case 7:
				r.w.release(rapid.SampledFrom(members).Draw(t, "who"))
			case 8:
				r.write(rapid.SampledFrom([]string{"ok", "ok", "lost", "unclear"}).Draw(t, "fate"))
			case 9:
				r.load()
			case 10:
				r.dig()
			case 11:
				r.bury()
			}
			r.audit()
		}
		for range 1000 { // in the end all are done
			r.write("ok")
			for r.dig() {
			}
			for r.bury() {
			}
			r.audit()
			if r.w.start == end {
				return
			}
			r.fetch(end)
			r.now = r.now.Add(2 * time.Minute)
			r.w.expire(r.now)
		}
		t.Fatalf("not done: %s", show(r.w))
	})
}

var members = []string{"a", "b", "c"}

type rig struct {
	t       *rapid.T
	now     time.Time
	limit   int16
	w       *window
	durable State
	done    map[base.Offset]bool // acknowledged, and said so
	next    []base.Offset        // of the next one
	counts  map[base.Offset]int  // deliveries of this incarnation that count

	buries   bool
	graves   []grave              // whose letters are being written
	letters  map[base.Offset]int  // durable dead letters
	unburied map[base.Offset]bool // may be done without a letter: somebody accepted it, or said that it is not there
}

// load begins again with what is durable.
func (r *rig) load() {
	r.w = newWindow(limits{r.limit, time.Minute, 15, r.buries}, r.durable, max(0, r.durable.Start))
	r.next, r.graves = nil, nil
	clear(r.counts)
}

// dig begins to write the letters of a run.
func (r *rig) dig() bool {
	g, ok := r.w.nextGrave()
	if !ok {
		return false
	}
	for _, o := range r.graves {
		if g.first <= o.last && o.first <= g.last {
			r.t.Fatalf("%v is buried twice at a time: %v", g, o)
		}
	}
	r.graves = append(r.graves, g)
	return true
}

// bury makes the letters of a run durable.
func (r *rig) bury() bool {
	if len(r.graves) == 0 {
		return false
	}
	i := rapid.IntRange(0, len(r.graves)-1).Draw(r.t, "grave")
	for at := r.graves[i].first; at <= r.graves[i].last; at++ {
		r.letters[at]++
	}
	r.w.buried(r.graves[i])
	r.graves = slices.Delete(r.graves, i, i+1)
	return true
}

func (r *rig) fetch(end base.Offset) {
	from, ok := r.w.next()
	if !ok || from >= end {
		return
	}
	var read []base.OffsetRange // batches of four
	for at := from / 4 * 4; at < end && len(read) < 3; at += 4 {
		read = append(read, base.OffsetRange{Start: at, End: at + 4})
	}
	who := rapid.SampledFrom(members).Draw(r.t, "member")
	strict, n := rapid.Bool().Draw(r.t, "strict"), rapid.IntRange(1, 9).Draw(r.t, "records")
	total := 0
	for _, a := range r.w.acquire(r.now, who, read, n, 5, strict) {
		for at := a.first; at <= a.last; at++ {
			if total++; r.done[at] {
				r.t.Fatalf("%d was acknowledged and is delivered again", at)
			}
			if r.limit > 2 && a.count == r.limit && (total > 1 || a.last > a.first) {
				r.t.Fatalf("%d is delivered for the last time, and not alone", at)
			}
			if r.counts[at]++; r.counts[at] > int(r.limit) || a.count > r.limit {
				r.t.Fatalf("%d is delivered %d times, count %d", at, r.counts[at], a.count)
			}
		}
	}
	if strict && total > n {
		r.t.Fatalf("%d records, no more than %d were asked for", total, n)
	}
}

func (r *rig) acknowledge() {
	var held []span
	for _, s := range r.w.spans {
		if s.state == Acquired && s.phase == settled {
			held = append(held, s)
		}
	}
	if len(held) == 0 {
		return
	}
	s := rapid.SampledFrom(held).Draw(r.t, "span")
	first := base.Offset(rapid.Int64Range(int64(s.first), int64(s.last)).Draw(r.t, "first"))
	last := base.Offset(rapid.Int64Range(int64(first), int64(s.last)).Draw(r.t, "last"))
	typ := AckType(rapid.IntRange(0, 4).Draw(r.t, "type"))
	if _, code := r.w.acknowledge(r.now, s.member, []ackBatch{{first, last, []AckType{typ}}}); code != kerr.None {
		r.t.Fatal(code)
	}
	for at := first; at <= last; at++ {
		r.unburied[at] = r.unburied[at] || typ == AckAccept || typ == AckGap
	}
	if typ == AckAccept {
		for at := first; at <= last; at++ {
			r.next = append(r.next, at)
		}
	}
}

// write makes what there is durable, or not.
func (r *rig) write(fate string) {
	out, ok := r.w.nextWrite()
	if !ok {
		return
	}
	if fate != "lost" {
		v := snapshotValue{State: r.durable}.apply(updateValue{start: out.Start, complete: out.Complete, batches: out.Batches})
		r.durable = v.State
	}
	r.w.wrote(fate == "ok")
	if fate == "ok" {
		for _, at := range r.next {
			r.done[at] = true
		}
	}
	r.next = nil
}

// audit checks the shape of the window, and that what was acknowledged is durable.
func (r *rig) audit() {
	at := r.w.start
	for _, s := range r.w.spans {
		if s.first != at || s.last < s.first || (s.state == Acquired) != (s.member != "") {
			r.t.Fatal(show(r.w))
		}
		at = s.last + 1
	}
	if at != r.w.end {
		r.t.Fatal(show(r.w))
	}
	if !ordered(r.durable.Batches) {
		r.t.Fatal(r.durable)
	}
	for at := base.Offset(0); at < r.w.end; at++ {
		if r.over(at) && r.buries && !r.unburied[at] && r.letters[at] == 0 {
			r.t.Fatalf("%d was given up without a dead letter: %v", at, r.durable)
		}
		if r.letters[at] > 0 && (!r.buries || r.done[at]) {
			r.t.Fatalf("%d has a dead letter", at)
		}
	}
	for at := range r.done {
		if at >= r.durable.Start && !slices.ContainsFunc(r.durable.Batches, func(b StateBatch) bool {
			return b.First <= at && at <= b.Last && b.State.final()
		}) {
			r.t.Fatalf("%d was acknowledged, durable is %v", at, r.durable)
		}
	}
}

// over says whether a record is done, durably.
func (r *rig) over(at base.Offset) bool {
	return at < r.durable.Start || slices.ContainsFunc(r.durable.Batches, func(b StateBatch) bool {
		return b.First <= at && at <= b.Last && b.State.final()
	})
}

func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		older, newer := drawBatches(t, "older"), drawBatches(t, "newer")
		start := base.Offset(rapid.Int64Range(0, 20).Draw(t, "start"))
		model := map[base.Offset]StateBatch{}
		for _, b := range append(slices.Clone(older), newer...) {
			for at := b.First; at <= b.Last; at++ {
				model[at] = StateBatch{at, at, b.State, b.DeliveryCount}
			}
		}
		got := merge(slices.Clone(older), newer, start)
		if !ordered(got) {
			t.Fatal(got)
		}
		n := 0
		for i, b := range got {
			if i > 0 && got[i-1].Last+1 == b.First && got[i-1].State == b.State && got[i-1].DeliveryCount == b.DeliveryCount {
				t.Fatal("not joined:", got)
			}
			for at := b.First; at <= b.Last; at++ {
				if n++; model[at] != (StateBatch{at, at, b.State, b.DeliveryCount}) || at < start {
					t.Fatal(older, newer, got)
				}
			}
		}
		for at := range model {
			if at >= start {
				n--
			}
		}
		if n != 0 {
			t.Fatal(older, newer, got)
		}
	})
}

func drawBatches(t *rapid.T, label string) (out []StateBatch) {
	at := base.Offset(0)
	for range rapid.IntRange(0, 5).Draw(t, label) {
		at += base.Offset(rapid.Int64Range(0, 4).Draw(t, "gap"))
		n := base.Offset(rapid.Int64Range(1, 5).Draw(t, "length"))
		s := rapid.SampledFrom([]DeliveryState{Available, Acknowledged, Archiving, Archived}).Draw(t, "state")
		out = append(out, StateBatch{at, at + n - 1, s, rapid.Int16Range(0, 2).Draw(t, "count")})
		at += n
	}
	return out
}
