package clean

import (
	"iter"

	"sluice/base"
	"sluice/base/seeded"
	"sluice/broker/topicconfig"
)

// span is a committed range of a stream: the unit of removal.
type span struct {
	base.OffsetRange
	bytes        int64
	maxTimestamp int64 // milliseconds
	oldMS        int64 // when it came: that time, or when its object was prepared if that is earlier
}

// due returns the offset up to which the spans, which are a stream's from its start on, are to be removed; false if nothing is.
// total is the bytes of all spans.
func due(spans iter.Seq[span], total int64, cfg *topicconfig.Config, nowMS int64) (upTo base.Offset, ok bool) {
	if !cfg.Delete || cfg.RetentionMS < 0 && cfg.RetentionBytes < 0 {
		return 0, false
	}
	for s := range spans {
		old := cfg.RetentionMS >= 0 && nowMS-s.maxTimestamp > cfg.RetentionMS
		if seeded.Bug(seeded.WrongClock) {
			old = cfg.RetentionMS >= 0 && nowMS-s.oldMS > cfg.RetentionMS
		}
		large := cfg.RetentionBytes >= 0 && total-s.bytes >= cfg.RetentionBytes && s.bytes > 0
		if !old && !large {
			break
		}
		total -= s.bytes
		upTo, ok = s.End, true
	}
	return upTo, ok
}
