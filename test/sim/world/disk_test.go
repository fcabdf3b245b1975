package world

import (
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"sluice/base"
	"sluice/test/history"
	"sluice/test/sim/simdisk"
)

// A process that ends by its disk while its machine is paused has a successor, which is as paused as the one before.
func TestSuccessorOfAPausedProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{Scenario: NewScenario(1), rnd: rand.New(rand.NewPCG(1, 0)), trace: NewTrace(io.Discard), rec: history.NewRecorder()}
		w.shared = simdisk.New(1, simdisk.Delays{Max: time.Millisecond}, true, w.trace.Event, simdisk.Shared)
		b := &broker{w: w, name: "b1"}
		b.disk = b.newDisk()
		l := &life{}
		l.files = b.mount(l)
		l.setShut(true)
		go l.seen().List("/disk")
		time.Sleep(time.Second)
		if !b.again(l, base.Errorf(base.Failed, "the disk hangs")) {
			t.Fatal("the disk is not to blame")
		}
		listed := make(chan struct{})
		go func() {
			l.seen().List("/disk")
			close(listed)
		}()
		time.Sleep(time.Minute)
		select {
		case <-listed:
			t.Fatal("the successor reads its disk in the pause")
		default:
		}
		l.setShut(false)
		<-listed
	})
}
