package crash

import (
	"syscall"
	"testing"
	"time"

	"sluice/test/broker"
	"sluice/test/history"
	"sluice/test/s3test"
)

// TestKill kills the broker at random moments under load, in each WAL class.
func TestKill(t *testing.T) {
	tests := []struct {
		name string
		opt  func(t *testing.T) broker.Options
	}{
		{"file WAL", func(*testing.T) broker.Options { return broker.Options{Args: quick()} }},
		{"s3 WAL, bucket in a directory", func(*testing.T) broker.Options {
			return broker.Options{WAL: "s3", Args: quick("wal-s3-puts-per-second=50")}
		}},
		{"two file WALs", func(t *testing.T) broker.Options {
			dir := t.TempDir()
			return broker.Options{WAL: "file://" + dir + "/a,file://" + dir + "/b", Args: quick()}
		}},
		{"s3 WAL, S3 server", func(t *testing.T) broker.Options {
			return broker.Options{Bucket: s3test.Start(t), WAL: "s3", Args: quick("wal-s3-puts-per-second=50")}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			w := newWorld(t, test.opt(t), 5)
			w.load(3)
			for range rounds(t) {
				w.random(50*time.Millisecond, 1500*time.Millisecond)
				if w.rnd.IntN(4) == 0 {
					w.replaceProducer()
				}
				if w.rnd.IntN(5) == 0 {
					w.stop()
				} else {
					w.kill()
				}
				w.random(0, 200*time.Millisecond)
				w.restart()
			}
			w.awaitAll()
			w.settle()
			w.judge(history.Want{Faults: []string{"kill"}, Acknowledged: 100, Every: true})
		})
	}
}

// TestZombie pauses a broker until another one has taken its place, and lets it wake up: it must not acknowledge anything more under its old
// epoch, and joins again by itself.
func TestZombie(t *testing.T) {
	for _, class := range []string{"s3", "shared file"} {
		t.Run(class+" WAL", func(t *testing.T) {
			t.Parallel() // most of it is waiting
			dir := t.TempDir()
			opt := broker.Options{Bucket: "file://" + dir + "/bucket", WAL: "s3", Args: quick("wal-s3-puts-per-second=50", "broker.session.timeout.ms=1500")}
			if class != "s3" {
				opt.WAL = "file://" + dir + "/wal?shared=true"
			}
			w := newWorld(t, opt, 4)
			w.load(2)
			w.random(time.Second, 2*time.Second)
			zombie := w.broker
			zombie.Signal(syscall.SIGSTOP)
			w.rec.Fault("pause")
			zombies, others := w.producers, w.others
			w.producers, w.others = nil, nil
			w.moveTo(opt)
			w.addProducer()
			w.random(300*time.Millisecond, 600*time.Millisecond)
			zombie.Signal(syscall.SIGCONT)
			time.Sleep(2 * time.Second) // for it to do harm
			for _, p := range zombies {
				p.Abandon()
			}
			for _, o := range others {
				o.Halt()
			}
			w.settle()
			zombie.AwaitReady(readyWithin)
			if zombie.Ended() {
				t.Error("the zombie has ended; it should have joined again")
			}
			w.judge(history.Want{Faults: []string{"pause"}, Acknowledged: 100})
		})
	}
}
