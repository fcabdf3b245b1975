//go:build !wasip1

package main

import (
	"testing"
	"time"
)

// A guest that only reads the time comes to the end of a wait.
func TestTimePassesInALoop(t *testing.T) {
	c := newClock(0)
	until := c.read() + int64(time.Second)
	for n := 0; c.read() < until; n++ {
		if n > 100_000 {
			t.Fatalf("after %d readings it still lasts %v", n, time.Duration(until-c.now))
		}
	}
	c.sleep(1)
	if before := c.read(); c.read()-before != reading {
		t.Error("it is busy after a sleep")
	}
}

// A world that does not end is broken off.
func TestEndOfTime(t *testing.T) {
	for name, run := range map[string]func(){
		"simulated": func() { newClock(0).sleep(int64(endOfTime) + 1) },
		"real": func() {
			c := newClock(time.Nanosecond)
			for range 2 * wallEvery {
				c.read()
			}
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: it goes on", name)
				}
			}()
			run()
		}()
	}
}
