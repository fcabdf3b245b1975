package cluster

import (
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/base"
	"sluice/edge/admin"
	"sluice/test/history"
)

// await waits until a broker that runs describes the cluster as wanted, and returns that.
func (w *world) await(what string, ok func(*admin.ClusterView) bool) *admin.ClusterView {
	w.t.Helper()
	began := time.Now()
	for {
		if v := w.view(); v != nil && ok(v) {
			w.t.Logf("%s after %v", what, time.Since(began).Round(time.Millisecond))
			return v
		}
		if time.Since(began) > servedWithin {
			w.dump()
			w.keep()
			w.t.Fatalf("not within %v: %s", servedWithin, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestTwoControllers pauses the controller until another one has taken over, and lets it go on: for a moment two brokers believe that they
// decide. Commands go to both.
func TestTwoControllers(t *testing.T) {
	for _, class := range walClasses {
		t.Run(class.name, func(t *testing.T) {
			w := newWorld(t, class.at(t.TempDir()), brokers(t), 9)
			w.load(2)
			w.moves()
			for range 1 + rounds(t)/6 {
				old := w.controllerOrAny()
				id := ids(w.view())[old.name]
				w.pause(old)
				v := w.await("another controller", func(v *admin.ClusterView) bool { return v.Controller.Node != id })
				w.await("everything is led by others", func(v *admin.ClusterView) bool {
					return v.Unavailable == 0 && !slices.ContainsFunc(v.Nodes, func(n admin.NodeView) bool { return n.ID == id && n.State == "live" })
				})
				w.awaitServed("pause of the controller")
				w.resume(old)
				w.rec.Fault("two controllers")
				w.heal()
				if now := w.view(); now == nil || now.Controller.Epoch < v.Controller.Epoch {
					t.Errorf("the controller of epoch %d is followed by %+v", v.Controller.Epoch, now)
				}
			}
			w.settle()
			w.judge(history.Want{Faults: []string{"two controllers"}, Acknowledged: 100})
		})
	}
}

// latencies are what producers waited for acknowledgements.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, d)
}

// quantile returns the latency that a share of all did not exceed.
func (l *latencies) quantile(share float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.all) == 0 {
		return 0
	}
	slices.Sort(l.all)
	return l.all[int(share*float64(len(l.all)-1))].Round(100 * time.Microsecond)
}

// TestRollingRestart stops and starts one broker after the other, as an upgrade does. No producer may give up on a record, and no broker may
// leave an open stream behind.
func TestRollingRestart(t *testing.T) {
	for _, class := range walClasses {
		t.Run(class.name, func(t *testing.T) {
			var waited latencies
			w := newWorldWith(t, class.at(t.TempDir()), brokers(t), 9, func(w *world) { w.Acked = waited.add })
			w.load(3)
			for range 1 + rounds(t)/12 {
				for _, n := range w.nodes {
					w.random(time.Second, 2*time.Second)
					w.stop(n)
					w.checkGone(n)
					w.heal()
				}
			}
			w.settle()
			t.Logf("from send to acknowledgement: median %v, p99 %v, p99.9 %v, longest %v", waited.quantile(.5), waited.quantile(.99), waited.quantile(.999), waited.quantile(1))
			w.judge(history.Want{Faults: []string{"stop"}, Acknowledged: 100})
		})
	}
}

// checkGone checks that a broker that was stopped in order has left nothing behind that others would have to close.
func (w *world) checkGone(n *node) {
	w.t.Helper()
	v := w.view()
	if v == nil {
		w.t.Errorf("nobody describes the cluster after %s was stopped", n.name)
		return
	}
	for _, o := range v.Nodes {
		if o.Name == n.name && (o.State != "fenced" || o.Led > 0 || o.Open > 0) {
			w.t.Errorf("%s was stopped in order and is %s, leads %d partitions and has %d open streams", n.name, o.State, o.Led, o.Open)
		}
	}
}

// epochs are the node epochs by name.
func epochs(v *admin.ClusterView) map[string]base.NodeEpoch {
	m := map[string]base.NodeEpoch{}
	for _, n := range v.Nodes {
		m[n.Name] = n.Epoch
	}
	return m
}
