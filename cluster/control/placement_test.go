package control

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/objstore/mem"
)

// A node that cannot carry out a rescue says so by heartbeat. Another one gets it, also when uploads and the like change the image all the time.
func TestFailingRescueIsGrantedAnewInABusyCluster(t *testing.T) {
	var failing atomic.Pointer[[]RescueFailure]
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	m, err := Join(ctx, MemberOptions{Controller: Options{Store: mem.New()}, Former: base.NoNode, Session: time.Minute, Heartbeat: 50 * time.Millisecond,
		Failing: func() []RescueFailure {
			if f := failing.Load(); f != nil {
				return *f
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.Serve(ln)
	register := func() meta.NodeRef {
		reg, err := Do[meta.Registered](ctx, m, &meta.Register{Incarnation: base.NewUUID(), Reclaim: base.NoNode, WAL: "s3"})
		if err != nil {
			t.Fatal(err)
		}
		return reg.Node
	}
	self, err := m.Register(ctx, &meta.Register{Incarnation: base.NewUUID(), Reclaim: base.NoNode, WAL: "s3"})
	if err != nil {
		t.Fatal(err)
	}
	other, victim := register(), register()
	if _, err := m.Submit(ctx, &meta.FenceNode{Node: victim}); err != nil {
		t.Fatal(err)
	}
	granted := func(to meta.NodeRef) func(*meta.Image) bool {
		return func(img *meta.Image) bool {
			r, ok := img.Rescue(victim)
			if r.State == meta.RescueGranted && r.Rescuer == to {
				failing.CompareAndSwap(nil, &[]RescueFailure{{Victim: victim, Grant: r.Grant}})
			}
			return ok && r.State == meta.RescueGranted && r.Rescuer == to
		}
	}
	until(t, m, "a grant to the first node", granted(self))
	stop := make(chan struct{})
	busy := make(chan struct{})
	go func() {
		defer close(busy)
		pace := time.NewTicker(20 * time.Millisecond)
		defer pace.Stop()
		for {
			select {
			case <-pace.C:
				m.Submit(ctx, &meta.PrepareObjects{Node: other, Count: 1})
			case <-stop:
				return
			}
		}
	}()
	until(t, m, "a grant to another node", granted(other))
	close(stop)
	<-busy
}
