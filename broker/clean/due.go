package clean

import (
	"iter"
	"math"

	"sluice/base"
	"sluice/broker/topicconfig"
)

// headBytes is how much may lie uncleaned at the head of a log before its dirty ratio counts, if segment.bytes is not less: cleaning a little log every few
// seconds because half of it is new would cost requests by the partition.
const headBytes = 16 << 20

// dirt is what there is to clean in a log. Kafka divides a log into segments; here the unit is a committed range.
type dirt struct {
	from, to               base.Offset // dirty, and allowed to be cleaned
	cleanBytes, dirtyBytes int64       // below from, and of [from, to)
	oldestMS               int64       // how far back the dirty part reaches, by the first range of it
}

// look finds out what may be cleaned of a log. spans are its ranges from the log start on, cleaned is where the last pass came to, limit
// what must not be passed: the last stable offset.
func look(spans iter.Seq[span], cleaned, limit base.Offset, cfg *topicconfig.Config, nowMS int64) dirt {
	d := dirt{from: cleaned, to: cleaned, oldestMS: math.MaxInt64}
	first := true
	for s := range spans {
		if first {
			d.from = max(cleaned, s.Start)
			d.to, first = d.from, false
		}
		switch {
		case s.End <= d.from:
			d.cleanBytes += s.bytes
			continue
		case s.End > limit, cfg.MinCompactionLagMS > 0 && s.maxTimestamp > nowMS-cfg.MinCompactionLagMS:
			return d
		}
		d.to = s.End
		d.dirtyBytes += s.bytes
		if d.oldestMS == math.MaxInt64 {
			d.oldestMS = s.oldMS
		}
	}
	return d
}

// ratio is the share of the bytes that are dirty; 0 if there is nothing.
func (d *dirt) ratio() float64 {
	if d.dirtyBytes == 0 {
		return 0
	}
	return float64(d.dirtyBytes) / float64(d.cleanBytes+d.dirtyBytes)
}

// overdueMS is by how much the oldest dirty record is beyond max.compaction.lag.ms; 0 if it is not.
func (d *dirt) overdueMS(cfg *topicconfig.Config, nowMS int64) int64 {
	if d.dirtyBytes == 0 {
		return 0
	}
	return max(nowMS-cfg.MaxCompactionLagMS-d.oldestMS, 0)
}

// due reports whether the log is to be cleaned now: it is overdue, or dirty enough and not just a young, small head, which Kafka would
// have in its active segment (segment.bytes, segment.ms).
func (d *dirt) due(cfg *topicconfig.Config, nowMS int64) bool {
	switch {
	case d.dirtyBytes == 0:
		return false
	case d.overdueMS(cfg, nowMS) > 0:
		return true
	case d.dirtyBytes < min(int64(cfg.SegmentBytes), headBytes) && nowMS-d.oldestMS < cfg.SegmentMS:
		return false
	}
	return d.ratio() > cfg.MinCleanableDirtyRatio
}
