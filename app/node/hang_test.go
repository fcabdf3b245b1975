package node

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/base"
	"sluice/storage/wal/disk/memdisk"
)

// hang has the disk answer nothing any more, below dir and for operations of the kind op (empty: all), until the function it returns is called. What was asked is done
// then, late.
func (d *badDisk) hang(t *testing.T, dir, op string) (release func()) {
	over := make(chan struct{})
	ended := false
	release = func() {
		if !ended {
			ended = true
			d.SetHook(nil)
			close(over)
		}
	}
	t.Cleanup(release)
	d.SetHook(func(o memdisk.Op) error {
		if (op == "" || op == o.Kind) && strings.HasPrefix(o.Path, dir) {
			d.hits.Add(1)
			<-over
		}
		return nil
	})
	return release
}

// awaitHit waits until somebody hangs.
func (d *badDisk) awaitHit() {
	for d.hits.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
}

// A disk of two hangs under load, for writes or altogether: the broker goes on with the other one as if it had failed. Idempotent producers lose, repeat and reorder
// nothing, a group goes on; nor does it matter whether what hangs is done before the broker dies, or never. A start without the disk finds everything.
func TestVolumeHangs(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]struct {
		dir, op, left string
		late          bool
	}{
		"all of it for good":           {"/a/", "", "b", false},
		"writes of the other and late": {"/b/", "WriteDurable", "a", true},
	} {
		t.Run(name, func(t *testing.T) {
			c, d := twoDisks(t, "wal-stall-timeout=1s")
			moves := c.load("moves", 6)
			moves.more(200)
			member := c.client(append(reader("moves"), kgo.ConsumerGroup("watchers"), kgo.DisableAutoCommit())...)
			c.consume(member, 100)
			release := d.hang(t, f.dir, f.op)
			c.onlyHas(f.left, "moves", "__consumer_offsets")
			moves.more(200)
			c.consume(member, 100)
			if err := member.CommitUncommittedOffsets(c.ctx()); err != nil {
				t.Fatal(err)
			}
			if f.late {
				release()
			}
			moves.end()
			if err := c.node.Err(); err != nil || d.hits.Load() == 0 {
				t.Fatalf("%d operations hung; %v", d.hits.Load(), err)
			}
			c.crash()
			release()
			c.startWith(walOn(f.left))
			moves.end()
		})
	}
}

// The last disk that is left takes the broker with it when it hangs. What was being written is in doubt until the disk answers: then it is there or not, and what was
// acknowledged is.
func TestLastVolumeHangs(t *testing.T) {
	t.Parallel()
	for _, two := range []bool{false, true} {
		t.Run(map[bool]string{false: "one", true: "two"}[two], func(t *testing.T) {
			c, d := twoDisks(t, "wal-stall-timeout=1s")
			if !two {
				c.stop()
				c.startWith(walOn("a"))
			}
			c.produce(c.client(), "moves", 0, 300)
			release := d.hang(t, "/", "WriteDurable")
			late := c.writeLate()
			<-c.node.Failed()
			late.Close()
			if err := c.node.Err(); !base.IsKind(err, base.Failed) || !strings.Contains(err.Error(), "hangs") {
				t.Fatal(err)
			}
			c.crash()
			release()
			c.start()
			c.wantBesideLate(300)
		})
	}
}

// A broker whose disk hangs is stopped before anybody has noticed, or where nobody is to: the stop ends when its time is over, not when the disk answers.
func TestStopWhileDiskHangs(t *testing.T) {
	t.Parallel()
	c, d := twoDisks(t, "wal-stall-timeout=0")
	c.produce(c.client(), "moves", 0, 300)
	release := d.hang(t, "/", "")
	late := c.writeLate()
	d.awaitHit()
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if err := c.node.Shutdown(ctx); err == nil {
		t.Fatal("all was uploaded that was not even written")
	}
	late.Close()
	c.node = nil
	release()
	c.start()
	c.wantBesideLate(300)
}

// Adding a WAL on a disk that hangs waits for it, and nothing else does: the broker serves, and can be stopped.
func TestAddOfAWALThatHangs(t *testing.T) {
	c, d := twoDisks(t)
	release := d.hang(t, "/c/", "")
	added := make(chan error, 1)
	n := c.node
	go func() { _, err := n.AddWAL(context.Background(), walOn("c")); added <- err }()
	d.awaitHit()
	c.produce(c.client(), "moves", 0, 300)
	if got := len(n.WALStatus()); got != 2 {
		t.Fatalf("%d WALs", got)
	}
	c.stop()
	release()
	if err := <-added; err == nil {
		t.Fatal("a WAL was added to a broker that is down")
	}
	c.start()
	c.wantBesideLate(300)
}
