package partition

import (
	"testing"
	"time"

	"sluice/base"
)

// Each range is reported once in an hour, and no more than so many in a minute; what was passed over is counted, and reported when there is room.
func TestReports(t *testing.T) {
	var r reports
	now := time.Unix(1000, 0)
	of := func(start int) damagedRange { return damagedRange{index: 1, start: base.Offset(start)} }
	want := func(start int, unsaid int, ok bool) {
		t.Helper()
		if n, due := r.due(of(start), now); due != ok || n != unsaid {
			t.Fatalf("range %d at %v: %v, %d passed over", start, now, due, n)
		}
	}
	for i := range reportsMax {
		want(i, 0, true)
		want(i, 0, false)
	}
	want(100, 0, false)
	want(101, 0, false)
	now = now.Add(reportsIn)
	want(0, 0, false)
	want(100, 2, true)
	want(101, 0, true)
	now = now.Add(reportEvery)
	want(0, 0, true)
	for i := range 2 * rangesMax {
		now = now.Add(reportsIn)
		r.due(of(1000+i), now)
		if len(r.at) > rangesMax {
			t.Fatalf("%d ranges are remembered", len(r.at))
		}
	}
}
