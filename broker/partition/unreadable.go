package partition

import (
	"errors"
	"sync"
	"time"

	"sluice/base"
	"sluice/storage/stream"
)

// Committed records that are lost or damaged are the one thing that the log of a broker must not pass over: clients get CORRUPT_MESSAGE, and ask again and
// again. Each range is reported once in reportEvery, whoever reads it and however often, and a node writes at most reportsMax lines in reportsIn.

const (
	reportEvery = time.Hour
	reportsIn   = time.Minute
	reportsMax  = 20
	rangesMax   = 10_000 // ranges remembered
)

// damagedRange names a range of a partition.
type damagedRange struct {
	topic base.UUID
	index int32
	start base.Offset
}

// reports knows what has been reported. All methods are safe for concurrent use.
type reports struct {
	mu     sync.Mutex
	at     map[damagedRange]time.Time
	since  time.Time // of the present reportsIn
	count  int       // in it
	unsaid int       // since the last line
}

// due reports whether a range is to be reported now, and if so, how many were passed over before it.
func (r *reports) due(of damagedRange, now time.Time) (unsaid int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, known := r.at[of]; known && now.Sub(at) < reportEvery {
		return 0, false
	}
	if now.Sub(r.since) >= reportsIn {
		r.since, r.count = now, 0
	}
	if r.count >= reportsMax {
		r.unsaid++
		return 0, false
	}
	if r.at == nil || len(r.at) >= rangesMax {
		r.at = map[damagedRange]time.Time{}
	}
	r.at[of] = now
	r.count++
	unsaid, r.unsaid = r.unsaid, 0
	return unsaid, true
}

// reportUnreadable tells people of committed records that could not be read at an offset, if err says so.
func (p *Partition) reportUnreadable(at base.Offset, err error) {
	if !base.IsKind(err, base.Corrupt) {
		return
	}
	p.opt.Metrics.unreadable.Inc()
	where := stream.Damage{Range: base.OffsetRange{Start: at, End: at + 1}}
	if d := (*stream.Damage)(nil); errors.As(err, &d) {
		where = *d
	}
	unsaid, ok := p.opt.Metrics.reports.due(damagedRange{topic: p.opt.Topic, index: p.opt.Index, start: where.Range.Start}, p.opt.Now())
	if !ok {
		return
	}
	p.opt.Logger.Error("committed records cannot be read, and clients get CORRUPT_MESSAGE; sluice verify --deep shows all that is lost or damaged, and docs/operations.md what can be done",
		"topic", p.opt.Name, "partition", p.opt.Index, "offset", at, "first", where.Range.Start, "end", where.Range.End, "object", where.Object, "not_logged", unsaid, "err", err)
}
