package slotlog

import (
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// WriterOptions set up a Writer. The zero value works.
type WriterOptions struct {
	// InFlight is the greatest number of puts at a time, the window K. 0 means 1.
	InFlight int
	// PutTimeout bounds the first attempt of a put; then it counts as undetermined and the same bytes are put again, with a
	// longer bound each time. 0 means 10 s.
	PutTimeout time.Duration
	// RetryMin and RetryMax bound the pause before an undetermined put is repeated; it doubles and is jittered. 0: 20 ms, 500 ms: puts in
	// flight are few, and who waits for them should not wait long after an outage.
	RetryMin, RetryMax time.Duration
	// Hedge has a put that takes much longer than recent ones of its size put again beside it, which costs at most one put in twenty more.
	Hedge bool
	// Nonce identifies the writer in its slots; zero: a random one. It must never be used by two writers.
	Nonce      base.UUID
	Purpose    driver.Purpose        // what the puts are counted as
	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: no metrics
}

const (
	defaultPutTimeout = 10 * time.Second
	defaultRetryMin   = 20 * time.Millisecond
	defaultRetryMax   = 500 * time.Millisecond
	maxInFlight       = 1024
)

func (o WriterOptions) withDefaults() WriterOptions {
	o.InFlight = min(max(o.InFlight, 1), maxInFlight)
	if o.PutTimeout <= 0 {
		o.PutTimeout = defaultPutTimeout
	}
	if o.RetryMin <= 0 {
		o.RetryMin = defaultRetryMin
	}
	if o.RetryMax <= 0 {
		o.RetryMax = defaultRetryMax
	}
	o.RetryMax = max(o.RetryMax, o.RetryMin)
	if o.Nonce.IsZero() {
		o.Nonce = base.NewUUID()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// pause returns the jittered pause after the given number of failed attempts, from 1.
func pause(attempt int, least, most time.Duration) time.Duration {
	d := least << min(attempt-1, 20)
	if d <= 0 || d > most {
		d = most
	}
	return d/2 + rand.N(d/2+1)
}
