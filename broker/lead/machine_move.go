package lead

import (
	"time"

	"sluice/base"
	"sluice/cluster/meta"
)

// What the machine decides about moves away from this node. A move goes through these steps; DESIGN.md has the reasons.
//
//	wanted    the image names a target, or another volume of this node. Serving as ever; what the streams hold is uploaded ahead
//	leaving   appends are paused. Everything becomes durable and is uploaded
//	          if that fails or takes too long: resumed, and wanted again after a pause
//	sent      HandOver has been submitted: never resumed. Repeated until its answer, or the image, says what became of it
//	ended     not this node's any more under the epoch it had. What the image says then is begun like anything else: if the target was
//	          gone, the streams were opened for this node anew

// movable returns up to most partitions whose move may begin now, and when others may; zero if none will.
func (m *machine) movable(now time.Time, most int) (ids []meta.PartitionID, next time.Time) {
	for id := range m.wanted {
		e := m.entry(id)
		switch {
		case e.retryAt.After(now):
			if next.IsZero() || e.retryAt.Before(next) {
				next = e.retryAt
			}
		case len(ids) < most:
			ids = append(ids, id)
		default:
			next = now
		}
	}
	return ids, next
}

// leave stops those of the partitions that are still to be moved.
func (m *machine) leave(ids []meta.PartitionID) []meta.PartitionID {
	var left []meta.PartitionID
	for _, id := range ids {
		if m.wanted[id] {
			delete(m.wanted, id)
			delete(m.spread, id)
			m.move(m.entry(id), leaving)
			left = append(left, id)
		}
	}
	return left
}

// postpone puts moves off that have not begun.
func (m *machine) postpone(ids []meta.PartitionID, now time.Time, jitter float64) {
	for _, id := range ids {
		if m.wanted[id] {
			m.backOff(m.entry(id), now, jitter)
		}
	}
}

func (m *machine) backOff(e *entry, now time.Time, jitter float64) {
	e.attempts++
	e.retryAt = now.Add(backoff(m.low, m.high, e.attempts, jitter))
}

// resumed takes the failure of a move before HandOver was submitted. It returns false if the partition has ended meanwhile; otherwise it
// serves again, but a may say that it ends.
func (m *machine) resumed(id meta.PartitionID, epoch base.StreamEpoch, now time.Time, jitter float64, a *actions) bool {
	e := m.entry(id)
	if e == nil || e.phase != leaving || e.epoch != epoch {
		return false
	}
	m.move(e, serving)
	m.backOff(e, now, jitter)
	m.look(id, a)
	return true
}

// over takes the end of a move whose HandOver was submitted.
func (m *machine) over(id meta.PartitionID, epoch base.StreamEpoch, a *actions) {
	if e := m.entry(id); e != nil && e.phase == leaving && e.epoch == epoch {
		m.end(id, a)
		m.look(id, a)
	}
}
