package meta

import (
	"fmt"
	"reflect"
	"slices"

	"sluice/base"
)

// planCompaction makes a compaction of what the image holds now. It is committed at once, later, several times or never.
func (d *driver) planCompaction() {
	ref := d.node()
	res, err := d.submit(&PrepareObjects{Node: ref, Count: int32(d.int("objects", 1, 3))})
	if err != nil {
		return
	}
	p := res.(*ObjectsPrepared)
	cmd := &CommitCompaction{Node: ref}
	for i := range p.Count {
		cmd.Objects = append(cmd.Objects, CompactedObject{ID: p.First + base.ObjectID(i), Size: 50, Kind: ObjectKind(d.int("kind", 0, 1))})
	}
	for s := range d.img.Streams() {
		if s.Ranges() > 0 && !d.rarely(4) {
			d.planReplacements(cmd, slices.Collect(s.Held()), s.ID)
		}
	}
	if other, ok := pick(d, "other", d.plans); ok && d.rarely(20) { // a mistake of the sender
		cmd.Objects = append(cmd.Objects, other.Objects[0])
	}
	if d.plans = append(d.plans, cmd); len(d.plans) > 6 {
		d.plans = d.plans[1:]
	}
	switch d.int("then", 0, 4) {
	case 0, 1:
		d.commitPlan(len(d.plans) - 1)
	case 2, 3:
		d.trimInto(cmd)
		d.commitPlan(len(d.plans) - 1)
	}
}

// trimInto trims streams to somewhere within what is to be replaced, or to its end; of several sources it often takes just the first ones
// away, which few other trims do.
func (d *driver) trimInto(cmd *CommitCompaction) {
	for _, r := range cmd.Replacements {
		s, ok := d.img.Stream(r.Stream)
		if !ok || len(r.Sources) < 2 && d.rarely(2) {
			continue
		}
		to := r.Range.Start + base.Offset(d.int("into", 0, int(r.Range.End-r.Range.Start)))
		for g := range s.Held() {
			if len(r.Sources) > 1 && g.Object == r.Sources[0] && d.rarely(2) {
				to = g.End
			}
		}
		_, _ = d.submit(&TrimStreams{Node: NodeRef{s.Owner, s.OwnerEpoch}, Trims: []StreamTrim{{s.ID, s.Epoch, to}}})
	}
}

// planReplacements adds up to two replacements of a stream: runs of ranges, each cut anew at random.
func (d *driver) planReplacements(cmd *CommitCompaction, held []Range, id base.StreamID) {
	for range d.int("replacements", 1, 2) {
		if len(held) == 0 {
			return
		}
		from := d.int("from", 0, len(held)-1)
		if d.rarely(2) {
			from = 0 // where trims happen
		}
		run := held[from : from+d.int("count", 1, len(held)-from)]
		held = held[from+len(run):]
		r := Replacement{Stream: id, Range: base.OffsetRange{Start: run[0].Start, End: run[len(run)-1].End}, Cleaned: d.rarely(3)}
		for _, g := range run {
			r.Sources = append(r.Sources, g.Object)
		}
		for at := r.Range.Start; at < r.Range.End && !(r.Cleaned && d.rarely(4)); {
			end := min(r.Range.End, at+base.Offset(d.int("cut", 1, 12)))
			o := cmd.Objects[d.int("object", 0, len(cmd.Objects)-1)]
			r.New = append(r.New, NewRange{Object: o.ID, Range: base.OffsetRange{Start: at, End: end}, Bytes: int64(d.int("bytes", 0, 9)), MaxTimestamp: d.now})
			at = end
		}
		if n := len(r.New); n > 0 && r.New[n-1].Range.End != r.Range.End {
			r.New = nil
		}
		d.slip(&r)
		cmd.Replacements = append(cmd.Replacements, r)
	}
}

// slip makes a replacement wrong now and then: in its form, or in what it says of the sources.
func (d *driver) slip(r *Replacement) {
	switch d.int("slip", 0, 60) {
	case 0:
		r.Range.End++
	case 1:
		r.Sources[0]++
	case 2:
		r.Sources = append(r.Sources, r.Sources[0])
	case 3:
		r.Sources = r.Sources[1:]
	case 4:
		r.Stream = 1000
	case 5:
		if len(r.New) > 1 {
			r.New = r.New[1:]
		}
	}
}

func (d *driver) commitCompaction() {
	if len(d.plans) == 0 {
		d.planCompaction()
		return
	}
	d.now += int64(d.int("time", 0, 3000))
	if d.rarely(6) {
		_, _ = d.submit(&ExpireObjects{AgeMS: 1000, Limit: 10})
	}
	d.commitPlan(d.int("plan", 0, len(d.plans)-1))
}

// expectCompaction is a slow reading of the rules for one replacement of a command that is new.
func expectCompaction(img *Image, r Replacement) (v CompactVerdict, after []Range, trimmed bool) {
	s, ok := img.Stream(r.Stream)
	if !ok {
		return CompactDeleted, nil, false
	}
	held := slices.Collect(s.Held())
	if r.Range.End <= s.Start {
		return CompactTrimmed, held, false
	}
	for from := range held {
		for to := from + 1; to <= len(held); to++ {
			if held[to-1].End != r.Range.End {
				continue
			}
			var names []base.ObjectID
			for _, g := range held[from:to] {
				names = append(names, g.Object)
			}
			whole := held[from].Start == r.Range.Start && slices.Equal(names, r.Sources)
			rest := from == 0 && held[0].Start > r.Range.Start && len(names) <= len(r.Sources) && slices.Equal(names, r.Sources[len(r.Sources)-len(names):])
			if !whole && !rest {
				continue
			}
			if len(r.New) == 0 {
				return CompactReplaced, held, rest
			}
			after = slices.Clone(held[:from])
			for _, n := range r.New {
				if n.Range.End > s.Start {
					after = append(after, Range{OffsetRange: n.Range, Object: n.Object, Bytes: n.Bytes, MaxTimestamp: n.MaxTimestamp})
				}
			}
			return CompactReplaced, append(after, held[to:]...), rest
		}
	}
	return CompactChanged, held, false
}

// commitPlan commits a plan and compares what comes of it with the slow reading; a repetition changes nothing.
func (d *driver) commitPlan(i int) {
	cmd, before := d.plans[i], d.img
	states := map[ObjectState]int{}
	for _, o := range cmd.Objects {
		if p, ok := before.Object(o.ID); ok {
			states[p.State]++
		}
	}
	res, err := d.submit(cmd)
	if err != nil {
		if CodeOf(err) == ObjectNotPrepared {
			d.accepted["compact expired"]++
			if states[Prepared] == len(cmd.Objects) {
				d.t.Fatalf("%+v is refused, its objects are prepared: %v", cmd, err)
			}
		}
		if d.img.Pos() != before.Pos() {
			d.t.Fatal("a rejected compaction changed the image")
		}
		return
	}
	done := res.(*CompactionDone)
	if done.Duplicate {
		d.accepted["compact duplicate"]++
		if d.img.Pos() != before.Pos() || states[Prepared] > 0 || states[Committed] == 0 {
			d.t.Fatalf("%+v is taken for a duplicate, the states of its objects are %v", cmd, states)
		}
		return
	}
	d.compacted(before, cmd, done.Verdicts)
	at := d.img.Pos()
	again, err := d.submit(cmd)
	if d.img.Pos() != at {
		d.t.Fatal("a repeated compaction changed the image")
	}
	replaced := slices.ContainsFunc(cmd.Objects, func(o CompactedObject) bool { p, _ := d.img.Object(o.ID); return p.State == Committed })
	switch {
	case replaced != (err == nil), err != nil && CodeOf(err) != ObjectNotPrepared:
		d.t.Fatalf("a repeated compaction answers %v, %v; did something: %v", again, err, replaced)
	case err != nil:
		return
	}
	for i, v := range again.(*CompactionDone).Verdicts {
		marked := len(cmd.Replacements[i].New) == 0 && v == CompactReplaced // perhaps by another
		if v != done.Verdicts[i] && !marked {
			d.t.Fatalf("a repeated compaction answers %v, first %v", again, done.Verdicts)
		}
	}
}

// compacted checks the effect of a compaction that was not a repetition.
func (d *driver) compacted(before *Image, cmd *CommitCompaction, verdicts []CompactVerdict) {
	want, cleaned, used := map[base.StreamID][]Range{}, map[base.StreamID]base.Offset{}, map[base.ObjectID]bool{}
	middle := before // replacements of one stream do not overlap, so the second is decided as if the first were not there
	for i, r := range cmd.Replacements {
		v, after, trimmed := expectCompaction(middle, r)
		if verdicts[i] != v {
			d.t.Fatalf("replacement %+v got %v, want %v", r, verdicts[i], v)
		}
		d.accepted["compact "+v.String()]++
		if v != CompactReplaced {
			continue
		}
		if trimmed {
			d.accepted["compact rest"]++
		}
		if len(r.New) == 0 {
			d.accepted["compact mark"]++
		}
		if r.Cleaned {
			cleaned[r.Stream] = max(cleaned[r.Stream], r.Range.End)
		}
		if first, ok := want[r.Stream]; ok { // up to the end of the first replacement as that left it, then as this one did
			k := slices.IndexFunc(after, func(g Range) bool { return g.Start >= r.Range.Start })
			n := slices.IndexFunc(first, func(g Range) bool { return g.Start >= r.Range.Start })
			after = append(slices.Clone(first[:n]), after[k:]...)
		}
		want[r.Stream] = after
		for _, n := range r.New {
			if s, _ := before.Stream(r.Stream); n.Range.End > s.Start {
				used[n.Object] = true
			}
		}
	}
	for old := range before.Streams() {
		s, _ := d.img.Stream(old.ID)
		held, ok := want[s.ID]
		if !ok {
			held = slices.Collect(old.Held())
		}
		if got := slices.Collect(s.Held()); !slices.Equal(got, held) || s.CleanedTo != max(old.CleanedTo, cleaned[s.ID]) {
			d.t.Fatalf("I6: %+v made of stream %d the ranges %v, cleaned up to %d; want %v", cmd, s.ID, got, s.CleanedTo, held)
		}
		old.ranges, old.Bytes, old.CleanedTo = s.ranges, s.Bytes, s.CleanedTo
		if !reflect.DeepEqual(old, s) {
			d.t.Fatalf("a compaction made of stream %+v %+v", old, s)
		}
	}
	for _, o := range cmd.Objects {
		if p, ok := d.img.Object(o.ID); !ok || (p.State == Committed) != used[o.ID] || used[o.ID] && (p.Size != o.Size || p.Kind != o.Kind) {
			d.t.Fatalf("after the compaction object %s is %+v, used: %v", o.ID, p, used[o.ID])
		}
	}
}

// checkHeld checks I6 of any command but a compaction: what held [Start, CommittedEnd) holds it still, and only ranges behind the end are new.
func (d *driver) checkHeld(cmd Command, before *Image) {
	if before.HeldPos() == d.img.HeldPos() && before != d.img && heldBy(before) != heldBy(d.img) {
		d.t.Fatalf("%s: the same HeldPos, but\n%s became\n%s", CommandName(cmd), heldBy(before), heldBy(d.img))
	}
	if _, ok := cmd.(*CommitCompaction); ok {
		return
	}
	for old := range before.Streams() {
		s, ok := d.img.Stream(old.ID)
		if !ok {
			continue
		}
		var want, got []Range
		for r := range old.Held() {
			if r.End > s.Start {
				want = append(want, r)
			}
		}
		for r := range s.Held() {
			if r.Start < old.CommittedEnd {
				got = append(got, r)
			}
		}
		if !slices.Equal(got, want) || s.CleanedTo != old.CleanedTo {
			d.t.Fatalf("I6: %s made of stream %d the ranges %v, cleaned up to %d; want %v, %d", CommandName(cmd), s.ID, got, s.CleanedTo, want, old.CleanedTo)
		}
	}
}

// heldBy shows what HeldPos speaks of.
func heldBy(img *Image) string {
	out := ""
	for s := range img.Streams() {
		if s.Ranges() > 0 {
			out += fmt.Sprintln(s.ID, s.Owner, slices.Collect(s.Held()))
		}
	}
	for o := range img.Objects() {
		if o.State == Committed {
			out += fmt.Sprintln(o)
		}
	}
	return fmt.Sprint(out, img.live())
}
