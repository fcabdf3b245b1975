package clean

import (
	"math"
	"slices"
	"testing"

	"sluice/base"
	"sluice/broker/topicconfig"
)

func TestDue(t *testing.T) {
	const now, hour = int64(1_700_000_000_000), int64(3_600_000)
	r := func(start, end base.Offset, bytes, ageMS int64) span {
		return span{base.OffsetRange{Start: start, End: end}, bytes, now - ageMS, now - ageMS}
	}
	big := int64(headBytes)
	for _, tc := range []struct {
		what      string
		overrides map[string]string
		spans     []span
		cleaned   base.Offset
		limit     base.Offset
		due       bool
		to        base.Offset
	}{
		{"nothing is there", nil, nil, 0, 0, false, 0},
		{"never cleaned", nil, []span{r(0, 5, big, 0)}, 0, 5, true, 5},
		{"a small young head waits", nil, []span{r(0, 5, big-1, 0)}, 0, 5, false, 5},
		{"until it is old", map[string]string{"segment.ms": "1000"}, []span{r(0, 5, 1, 1000)}, 0, 5, true, 5},
		{"or as large as a segment", map[string]string{"segment.bytes": "1048576"}, []span{r(0, 5, 1<<20, 0)}, 0, 5, true, 5},
		{"half dirty is not more than half", nil, []span{r(0, 5, big, 0), r(5, 9, big, 0)}, 5, 9, false, 9},
		{"more than half", nil, []span{r(0, 5, big, 0), r(5, 9, big+1, 0)}, 5, 9, true, 9},
		{"clean", nil, []span{r(0, 5, big, 0)}, 5, 5, false, 5},
		{"a range beyond the last stable offset", nil, []span{r(0, 5, big, 0), r(5, 9, big, 0)}, 0, 8, true, 5},
		{"younger than the lag", map[string]string{"min.compaction.lag.ms": "3600000"}, []span{r(0, 5, big, 2*hour), r(5, 9, big, hour-1), r(9, 10, big, 2*hour)}, 0, 10, true, 5},
		{"all younger than the lag", map[string]string{"min.compaction.lag.ms": "3600000"}, []span{r(0, 5, big, hour-1)}, 0, 10, false, 0},
		{"overdue, whatever the ratio", map[string]string{"max.compaction.lag.ms": "3600000"}, []span{r(0, 5, 100*big, 9*hour), r(5, 9, 1, hour+1)}, 5, 9, true, 9},
		{"not overdue yet", map[string]string{"max.compaction.lag.ms": "3600000"}, []span{r(0, 5, 100*big, 9*hour), r(5, 9, 1, hour)}, 5, 9, false, 9},
		{"ratio 1 is never exceeded", map[string]string{"min.cleanable.dirty.ratio": "1"}, []span{r(0, 5, big, 0)}, 0, 5, false, 5},
		{"cleaned into the middle of a range", nil, []span{r(0, 5, big, 0), r(5, 9, 3*big, 0)}, 7, 9, true, 9},
		{"the start was trimmed above what was cleaned", nil, []span{r(7, 9, big, 0)}, 5, 9, true, 9},
	} {
		cfg, err := topicconfig.Parse(tc.overrides, nil)
		if err != nil {
			t.Fatal(err)
		}
		d := look(slices.Values(tc.spans), tc.cleaned, tc.limit, &cfg, now)
		if d.due(&cfg, now) != tc.due || d.to != tc.to {
			t.Errorf("%s: %+v", tc.what, d)
		}
	}
	cfg := topicconfig.Default()
	if d := look(slices.Values([]span{{base.OffsetRange{Start: 0, End: 1}, 1, math.MaxInt64, 0}}), 0, 1, &cfg, now); d.overdueMS(&cfg, now) != 0 {
		t.Error("overdue without a limit")
	}
}
