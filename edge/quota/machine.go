package quota

import "math"

// windows says how a rate is counted.
type windows struct {
	n  int   // windows that are remembered
	ms int64 // and how long each is
}

// sample is what happened in one window.
type sample struct {
	startMS, lastMS int64
	value           float64
}

// rate is the sum of the last windows, by the time they span. One window more than asked for is kept: the oldest may lie partly before them.
type rate struct {
	w       windows
	samples []sample
	at      int // the present one
}

func newRate(w windows) *rate { return &rate{w: w} }

// add counts a value.
func (r *rate) add(v float64, nowMS int64) {
	if len(r.samples) == 0 {
		r.samples = append(r.samples, sample{startMS: nowMS, lastMS: nowMS})
	}
	s := &r.samples[r.at]
	if nowMS-s.startMS >= r.w.ms {
		r.at = (r.at + 1) % (r.w.n + 1)
		if r.at == len(r.samples) {
			r.samples = append(r.samples, sample{})
		}
		s = &r.samples[r.at]
		*s = sample{startMS: nowMS}
	}
	s.value += v
	s.lastMS = nowMS
}

// measure returns the rate per second, and the time that it is counted over.
func (r *rate) measure(nowMS int64) (perSecond float64, spanMS int64) {
	oldest, sum := nowMS, 0.0
	for i := range r.samples {
		s := &r.samples[i]
		if nowMS-s.lastMS >= int64(r.w.n)*r.w.ms {
			*s = sample{startMS: nowMS, lastMS: nowMS}
		}
		oldest = min(oldest, s.startMS)
		sum += s.value
	}
	// Windows that have not been yet count as if nothing had happened in them: a client's first second is no rate.
	spanMS = nowMS - oldest
	if full := spanMS / r.w.ms; full < int64(r.w.n-1) {
		spanMS += (int64(r.w.n-1) - full) * r.w.ms
	}
	spanMS = max(spanMS, 1)
	return sum * 1000 / float64(spanMS), spanMS
}

// waitMS returns how long nothing may be added until the rate is the limit; 0 if it is not above.
func (r *rate) waitMS(limit float64, nowMS int64) int64 {
	v, span := r.measure(nowMS)
	if v <= limit {
		return 0
	}
	return clampMS((v - limit) / limit * float64(span))
}

// clampMS rounds a time to milliseconds that fit a throttle time.
func clampMS(ms float64) int64 {
	if !(ms < math.MaxInt32) {
		return math.MaxInt32
	}
	return int64(math.Round(ms))
}

// bucket holds tokens, which come back at the rate of the limit, up to what comes in all windows.
type bucket struct {
	w      windows
	tokens float64
	atMS   int64
	begun  bool
}

func (b *bucket) refill(limit float64, nowMS int64) {
	full := limit * float64(b.w.n) * float64(b.w.ms) / 1000
	if !b.begun {
		b.tokens, b.begun = full, true
	} else {
		b.tokens = min(full, b.tokens+limit*float64(max(nowMS-b.atMS, 0))/1000)
	}
	b.atMS = max(nowMS, b.atMS)
}

// take takes n tokens, even if there are fewer, and returns how long it takes until there are some again; 0 if there are.
func (b *bucket) take(n, limit float64, nowMS int64) int64 {
	b.refill(limit, nowMS)
	b.tokens -= n
	return b.waitMS(limit)
}

func (b *bucket) waitMS(limit float64) int64 {
	const dust = 1e-6 // what is left of sums of fractions
	if b.tokens > -dust {
		return 0
	}
	return max(clampMS(-b.tokens/limit*1000), 1)
}
