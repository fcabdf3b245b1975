package bench

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	histogramMinUS = 1
	histogramMaxUS = 5 * 60 * 1000 * 1000
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(histogramMinUS, histogramMaxUS, 3)
}

// track counts records, bytes and latencies of one direction (acknowledged or consumed), for the last second and for the
// measured part.
type track struct {
	mu struct {
		sync.Mutex
		records, bytes int64 // measured part
		errors         int64
		lastErr        error
		all            *hdrhistogram.Histogram
		second         *hdrhistogram.Histogram
		secRecords     int64
		secBytes       int64
		goal           int64 // records after which reached is closed; 0 = none
	}
	reached   chan struct{}
	reachedAt time.Time // valid once reached is closed
}

func newTrack() *track {
	t := &track{reached: make(chan struct{})}
	t.mu.all, t.mu.second = newHistogram(), newHistogram()
	return t
}

// sample is one record or one batch of records that ended now.
type sample struct {
	latency        time.Duration
	records, bytes int64
	measured       bool
}

func (t *track) add(samples ...sample) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range samples {
		us := min(max(s.latency.Microseconds(), histogramMinUS), histogramMaxUS)
		_ = t.mu.second.RecordValues(us, s.records) // in range by construction
		t.mu.secRecords += s.records
		t.mu.secBytes += s.bytes
		if s.measured {
			_ = t.mu.all.RecordValues(us, s.records)
			t.mu.records += s.records
			t.mu.bytes += s.bytes
		}
	}
	if t.mu.goal > 0 && t.mu.records >= t.mu.goal {
		t.mu.goal = 0
		t.reachedAt = time.Now()
		close(t.reached)
	}
}

// setGoal makes reached close once so many records of the measured part are counted.
func (t *track) setGoal(records int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.goal = records
}

func (t *track) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.errors++
	t.mu.lastErr = err
}

// second is what happened since the previous call.
type second struct {
	records, bytes int64
	p50, p99       time.Duration
}

func (t *track) takeSecond() second {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := second{records: t.mu.secRecords, bytes: t.mu.secBytes, p50: us(t.mu.second.ValueAtQuantile(50)), p99: us(t.mu.second.ValueAtQuantile(99))}
	t.mu.secRecords, t.mu.secBytes = 0, 0
	t.mu.second.Reset()
	return s
}

func us(v int64) time.Duration { return time.Duration(v) * time.Microsecond }

// epoch is the zero of the times that records carry: this process's start, by the monotonic clock.
var epoch = time.Now()

// stamp writes a record's intended time and number to the head of its value.
func stamp(value []byte, intended time.Time, n uint64) {
	binary.LittleEndian.PutUint64(value, uint64(intended.Sub(epoch)))
	binary.LittleEndian.PutUint64(value[8:], n)
}

func intendedOf(value []byte) time.Time {
	return epoch.Add(time.Duration(binary.LittleEndian.Uint64(value)))
}
