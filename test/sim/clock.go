//go:build !wasip1

package main

import (
	"fmt"
	"time"
)

// clock is the time of a run. Only readings and sleeps of the guest move it, so it is the same in each run of a seed.
//
// A guest that reads the time again and again and never sleeps, as a client that waits in a loop does, would stand still: for it time passes quicker, as it does
// for code that keeps a real processor busy.
type clock struct {
	now, end int64
	readings int // since the last sleep
	calls    int
	began    time.Time // in real time
	wall     time.Duration
}

const (
	reading     = 100    // ns that one takes
	busyAfter   = 20_000 // readings without a sleep
	busyReading = 20_000 // ns that one takes then
	wallEvery   = 1 << 14

	// endOfTime bounds a run, in simulated time: a world that does not end is wrong.
	endOfTime = 30 * 24 * time.Hour
	// wallOfOne bounds it in real time: so does one that stands still. (The longest worlds take a minute of a processor.)
	wallOfOne = 20 * time.Minute
)

func newClock(wall time.Duration) *clock {
	const start = 1_700_000_000_000_000_000
	return &clock{now: start, end: start + int64(endOfTime), began: time.Now(), wall: wall}
}

// read is what the guest sees.
func (c *clock) read() int64 {
	c.now += reading
	if c.readings++; c.readings > busyAfter {
		c.now += busyReading
	}
	c.check()
	return c.now
}

func (c *clock) sleep(ns int64) {
	c.now += ns
	c.readings = 0
	c.check()
}

// check ends a run that is over. A host function can do that by a panic alone, which ends the guest.
func (c *clock) check() {
	if c.now > c.end {
		panic("the world does not end")
	}
	if c.calls++; c.calls%wallEvery == 0 && c.wall > 0 && time.Since(c.began) > c.wall {
		panic(fmt.Sprintf("the world takes more than %v", c.wall))
	}
}
