package node

import (
	"testing"
	"time"

	"sluice/base/config"
)

// TestIdleTimeout: connections.max.idle.ms=-1 closes none, as in Kafka.
func TestIdleTimeout(t *testing.T) {
	for set, want := range map[time.Duration]bool{-time.Millisecond: true, 0: true, time.Millisecond: false, 10 * time.Minute: false} {
		got := idleTimeout(&config.Config{IdleTimeout: set})
		if never := got > 10*365*24*time.Hour; never != want || !never && got != set || time.Now().Add(got).Before(time.Now()) {
			t.Errorf("%v: %v", set, got)
		}
	}
}
