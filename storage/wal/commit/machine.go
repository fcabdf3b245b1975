package commit

import "time"

// Demand is what a Pace decides on.
type Demand struct {
	Bytes    int  // that wait to be written, a full block's included
	Full     bool // a full block waits
	InFlight int  // blocks that are being written
	Closing  bool // nothing more will come; write what there is
}

// Never is a WakeBytes that no demand reaches.
const Never = 1 << 62

// Verdict says whether to write the next block now and, if not, when to ask again: as soon as WakeBytes wait or, if Wait is
// above zero, after that time. It is asked again in any case when a block becomes full or a write ends.
type Verdict struct {
	Take      bool
	WakeBytes int
	Wait      time.Duration
}

// Pace decides when the next block is written. It is called with the queue's lock held and must be quick and pure, its own state aside.
type Pace interface {
	Next(now func() time.Time, d Demand) Verdict
}

// Natural is the pace of a device that takes microseconds: write at once when nothing is being written; what arrives meanwhile
// is the next block. Up to Writers blocks are written at a time, but the second and later ones only when they are worth their
// fixed cost.
type Natural struct {
	Writers     int // at most so many in flight
	SecondBytes int // a block goes out beside another one if it has at least so many bytes
}

// Next implements Pace.
func (n Natural) Next(_ func() time.Time, d Demand) Verdict {
	switch {
	case d.InFlight >= n.Writers:
		return Verdict{WakeBytes: Never}
	case d.Bytes == 0:
		if d.InFlight == 0 {
			return Verdict{WakeBytes: 1}
		}
		return Verdict{WakeBytes: n.SecondBytes}
	case d.InFlight == 0 || d.Full || d.Bytes >= n.SecondBytes || d.Closing:
		return Verdict{Take: true}
	default:
		return Verdict{WakeBytes: n.SecondBytes}
	}
}
