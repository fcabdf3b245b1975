package cluster

import (
	"testing"
	"time"

	"sluice/test/history"
)

// walClasses are the WALs that every broker can read, each with a bucket in a directory.
var walClasses = []struct {
	name string
	at   func(dir string) places
}{
	{"shared file WAL", func(dir string) places {
		return places{bucket: "file://" + dir + "/bucket", wal: "file://" + dir + "/wal?shared=true&segment=4MiB&capacity=64MiB"}
	}},
	{"s3 WAL", func(dir string) places {
		return places{bucket: "file://" + dir + "/bucket", wal: "s3", args: []string{"wal-puts-per-second=50"}}
	}},
}

// TestKill kills one broker after the other under load, the controller not less often than others.
func TestKill(t *testing.T) {
	for _, class := range walClasses {
		t.Run(class.name, func(t *testing.T) {
			w := newWorld(t, class.at(t.TempDir()), 3, 9)
			w.load(3)
			for range rounds(t) {
				w.random(500*time.Millisecond, 2*time.Second)
				victim := w.in(up)[0]
				if c := w.controller(); c != nil && w.rnd.IntN(3) == 0 {
					victim = c
				}
				w.kill(victim)
				w.awaitServed("kill -9 of " + victim.name)
				w.heal()
			}
			w.settle()
			w.judge(history.Want{Faults: []string{"kill"}, Acknowledged: 100})
		})
	}
}
