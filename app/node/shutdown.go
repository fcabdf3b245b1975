package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
)

// Shutdown stops the broker in order: requests that were read are answered, everything is uploaded, all streams are closed. When
// ctx ends first, or the broker has failed, the rest is abandoned, for the next start to rescue; nothing acknowledged is lost. It
// is called once.
func (n *Node) Shutdown(ctx context.Context) error {
	n.ready.Store(false)
	n.stopCompaction()
	var err error
	if n.Err() == nil {
		err = n.stop(ctx)
	}
	n.abandon()
	return err
}

// stop does what is worth waiting for. When ctx ends, so does every wait for a WAL or the bucket: what is not written then is refused, for
// requests and coordinators that wait for an append have no time of their own.
func (n *Node) stop(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		for _, v := range n.volumes.all() {
			n.closeVolume(ctx, v)
		}
	})()
	n.leave(ctx)
	n.unwatchVolumes()
	n.server.Quiesce()
	n.unwatch()
	n.unwatch = nil
	n.stopCleaning()
	n.groups.Close()
	n.txns.close()
	n.shares.Swap(nil).close()
	answered := make(chan error, 1)
	go func() { answered <- n.server.Shutdown(ctx) }()
	var errs []error
	if err := n.lead.CloseAll(ctx); err != nil { // wakes the fetches that wait
		errs = append(errs, fmt.Errorf("close partitions: %w", err))
	}
	if err := <-answered; err != nil {
		errs = append(errs, fmt.Errorf("answer requests: %w", err))
	}
	if err := n.volumes.set.Close(ctx); err != nil {
		errs = append(errs, fmt.Errorf("upload: %w", err))
	}
	n.groups, n.txns, n.lead = nil, nil, nil
	if len(errs) == 0 {
		n.retire(ctx)
	}
	return errors.Join(errs...)
}

// leave has the partitions move to other nodes while they are still served here. Without another node there is nowhere to go.
func (n *Node) leave(ctx context.Context) {
	if !n.othersLive() {
		return
	}
	led := slices.Collect(n.member.Image().PartitionsLedBy(n.self.ID))
	if _, err := n.member.Submit(ctx, &meta.DrainNode{Node: n.self, Drain: true, Why: "shutdown"}); err != nil {
		n.log.Warn("cannot drain; partitions will be taken over after the shutdown", "error", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, n.opt.Config.ShutdownTimeout/2)
	defer cancel()
	began, left := time.Now(), n.drained(ctx, led)
	n.log.Info("drained", "partitions", len(led), "left", left, "took", time.Since(began).Round(time.Millisecond))
	if left == 0 { // clients that ask the wrong node are told the right one, which is quicker than finding a closed connection
		select {
		case <-time.After(lingerTime):
		case <-ctx.Done():
		case <-n.failed:
		}
	}
}

// lingerTime is how long a drained node goes on to answer.
const lingerTime = time.Second

// drained waits until this node leads nothing and all that it led is served by others, and returns what is left when that does not happen in time.
func (n *Node) drained(ctx context.Context, led []meta.Partition) (left int) {
	news := make(chan struct{}, 1)
	unsubscribe := n.member.Subscribe(func(_, _ *meta.Image) {
		select {
		case news <- struct{}{}:
		default:
		}
	})
	defer unsubscribe()
	for said := time.Now(); ; {
		img := n.member.Image()
		led = slices.DeleteFunc(led, func(was meta.Partition) bool {
			p, ok := img.Partition(was.Topic, was.Index)
			return !ok || p.Leader != n.self.ID && p.State == meta.Serving
		})
		if left = max(len(led), img.Led(n.self.ID)); left == 0 || !n.othersLive() {
			return left
		}
		if time.Since(said) > time.Second {
			said = time.Now()
			n.log.Info("draining", "left", left)
		}
		select {
		case <-news:
		case <-time.After(time.Second):
		case <-ctx.Done():
			return left
		case <-n.failed:
			return left
		}
	}
}

func (n *Node) othersLive() bool {
	for o := range n.member.Image().Nodes() {
		if !o.Fenced && !o.Draining && o.ID != n.self.ID {
			return true
		}
	}
	return false
}

// retire says that this node has nothing left and will not come back under this epoch, so that nobody waits for it, and hands the
// controller's role on. What fails here, others find out by themselves.
func (n *Node) retire(ctx context.Context) {
	if _, err := n.member.Submit(ctx, &meta.FenceNode{Node: n.self, Why: "shut down"}); err != nil {
		n.log.Warn("cannot sign off; others will notice", "error", err)
		return
	}
	if n.member.IsController() && n.othersLive() {
		if err := n.member.Transfer(ctx, base.NoNode); err != nil {
			n.log.Warn("cannot hand the controller's role on; others will take it", "error", err)
		}
	}
}

// abandon ends whatever still runs, without waiting for anything that may hang: the WALs end first, and with them whoever waits for an append.
// It works in any state of a start.
func (n *Node) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), abandonTimeout)
	defer cancel()
	over, stop := context.WithCancel(context.Background())
	stop()
	n.stopCompaction()
	if n.unwatchVolumes != nil {
		n.unwatchVolumes()
	}
	for _, v := range n.volumes.all() {
		n.closeVolume(ctx, v)
	}
	if n.groups != nil {
		n.groups.Close() // before the server, for connections end when those who wait are answered
	}
	if s := n.shares.Swap(nil); s != nil {
		s.close()
	}
	if n.txns != nil {
		n.txns.close()
	}
	if n.server != nil {
		n.server.Shutdown(over)
		n.served.Wait()
	}
	if n.telemetry != nil {
		n.unsubscribe()
		n.telemetry.Close()
	}
	if n.limits != nil {
		n.limits.close()
	}
	for _, l := range n.listeners { // those that the server has are closed already
		l.ln.Close()
	}
	n.security.stop()
	if n.unwatch != nil {
		n.unwatch()
	}
	n.stopCleaning()
	if n.lead != nil {
		n.lead.CloseAll(over)
	}
	if w := n.rescues.Load(); w != nil {
		w.Close()
	}
	if n.member != nil {
		n.member.Close()
	}
	if n.peerLn != nil {
		n.peerLn.Close()
	}
	if n.admin != nil {
		n.admin.Close(ctx)
	} else if n.adminLn != nil {
		n.adminLn.Close()
	}
	n.release()
}
