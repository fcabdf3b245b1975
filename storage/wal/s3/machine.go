package s3

import (
	"time"

	"sluice/storage/wal/commit"
)

// Budget is the pace of a device that takes tens of milliseconds and is paid by the request. A token bucket fills at Rate per
// second up to burst. A block that is not full takes one token; it goes out when there is one and nothing is in flight, or when the
// bucket is full anyway. Full blocks always go out, and empty the bucket: requests then cost little per byte.
type Budget struct {
	rate     float64
	burst    float64
	inFlight int
	tokens   float64
	at       time.Time // when tokens was right
}

// NewBudget returns a full bucket.
func NewBudget(rate float64, inFlight int) *Budget {
	b := &Budget{rate: rate, burst: max(1, rate/2), inFlight: inFlight}
	b.tokens = b.burst
	return b
}

// Next implements commit.Pace.
func (b *Budget) Next(now func() time.Time, d commit.Demand) commit.Verdict {
	switch {
	case d.InFlight >= b.inFlight:
		return commit.Verdict{WakeBytes: commit.Never}
	case d.Bytes == 0:
		return commit.Verdict{WakeBytes: 1}
	}
	b.refill(now())
	need := 1.0
	if d.InFlight > 0 {
		need = b.burst
	}
	if d.Full || d.Closing || b.tokens >= need {
		b.tokens = max(0, b.tokens-1)
		return commit.Verdict{Take: true}
	}
	wait := time.Duration((need - b.tokens) / b.rate * float64(time.Second))
	return commit.Verdict{WakeBytes: commit.Never, Wait: max(wait, time.Millisecond)}
}

func (b *Budget) refill(now time.Time) {
	if !b.at.IsZero() && now.After(b.at) {
		b.tokens = min(b.burst, b.tokens+now.Sub(b.at).Seconds()*b.rate)
	}
	b.at = now
}
