package control

import (
	"context"
	"slices"
	"time"

	"sluice/base"
	"sluice/cluster/balance"
	"sluice/cluster/meta"
	"sluice/storage/wal"
)

const (
	placeTick    = time.Second // between looks when nothing has changed
	placeTimeout = 30 * time.Second
	placeBatch   = 10_000                 // partitions in one command
	balanceEvery = 2 * time.Second        // between looks whether the load is even
	balanceAgain = 200 * time.Millisecond // while it is being evened out
)

// place gives rescues, orphaned partitions and what is to leave its node to nodes that live, until the leadership ends.
func (l *leadership) place() {
	var last *meta.Image
	lookAt, balanceAt := time.Now(), time.Now()
	for l.ctl.life.Err() == nil {
		changed := l.ctl.view.notify.changed()
		img := l.ctl.Image()
		if placementChanged(last, img) || !time.Now().Before(lookAt) { // failures to rescue come by heartbeats, not by the image
			lookAt = time.Now().Add(placeTick)
			l.grant(img)
			l.adopt(img)
			l.drain(img)
		}
		last = img
		if now := time.Now(); l.m.opt.Balance != nil && !now.Before(balanceAt) {
			balanceAt = now.Add(balanceEvery)
			if l.balance(img, now) {
				balanceAt = now.Add(balanceAgain)
			}
		}
		select {
		case <-changed:
		case <-time.After(max(0, min(time.Until(lookAt), max(time.Until(balanceAt), balanceAgain)))):
		case <-l.ctl.life.Done():
		}
	}
}

// placementChanged reports whether anything changed that placement looks at. Uploads and trims, which change most images, do not.
func placementChanged(old, img *meta.Image) bool {
	if old == img {
		return false
	}
	d := img.DeltaFrom(old)
	return d == nil || d.Rescues || len(d.Nodes) > 0 || len(d.Partitions) > 0 || len(d.Topics) > 0
}

func (l *leadership) submit(what string, cmd meta.Command) meta.Result {
	ctx, cancel := context.WithTimeout(l.ctl.life, placeTimeout)
	defer cancel()
	res, err := l.ctl.Submit(ctx, cmd)
	if err != nil && l.ctl.life.Err() == nil {
		l.m.log.Warn("placement: "+what+" failed; will be tried again", "error", err)
	}
	return res
}

// grant gives every rescue that nobody carries out to a node.
func (l *leadership) grant(img *meta.Image) {
	for _, g := range planGrants(img, l.failing()) {
		if l.submit("granting a rescue", &g) != nil {
			l.m.log.Info("rescue granted", "victim", g.Victim.ID, "victim_epoch", g.Victim.Epoch, "rescuer", g.Rescuer.ID)
		}
	}
}

// failing returns, for each rescue, the nodes that cannot carry it out.
func (l *leadership) failing() map[meta.NodeRef][]base.NodeID {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[meta.NodeRef][]base.NodeID{}
	for ref, h := range l.mu.told {
		for _, f := range h.failing {
			out[f.Victim] = append(out[f.Victim], ref.ID)
		}
	}
	return out
}

// planGrants chooses rescuers: the victim's own next incarnation if it lives, else the live node with the fewest rescues. A rescue whose
// rescuer is fenced, or says that it cannot, goes to another one. Owners of local WALs ask for themselves.
func planGrants(img *meta.Image, failing map[meta.NodeRef][]base.NodeID) (out []meta.GrantRescue) {
	busy := map[base.NodeID]int{}
	var open []meta.Rescue
	for r := range img.Rescues() {
		switch failed := slices.Contains(failing[r.Victim], r.Rescuer.ID); {
		case r.State == meta.RescueDone || wal.Local(r.WAL):
		case r.State == meta.RescueGranted && img.Current(r.Rescuer) && !failed:
			busy[r.Rescuer.ID]++
		default:
			open = append(open, r)
		}
	}
	for _, r := range open {
		var best *meta.Node
		for n := range img.Nodes() {
			if n.Fenced || slices.Contains(failing[r.Victim], n.ID) {
				continue
			}
			if best == nil || n.ID == r.Victim.ID || best.ID != r.Victim.ID && busy[n.ID] < busy[best.ID] {
				best = &n
			}
		}
		if best != nil {
			busy[best.ID]++
			out = append(out, meta.GrantRescue{Victim: r.Victim, Rescuer: best.Ref()})
		}
	}
	return out
}

// adopt gives orphaned partitions to live nodes.
func (l *leadership) adopt(img *meta.Image) {
	moves := balance.Spread(img, l.loads(), balance.Orphans(img))
	for chunk := range slices.Chunk(moves, placeBatch) {
		if l.submit("assigning partitions", &meta.AssignPartitions{Partitions: chunk}) != nil {
			l.ctl.metrics.orphans.Add(float64(len(chunk)))
			l.m.log.Info("assigned partitions that had no leader", "partitions", len(chunk))
		}
	}
}

// drain has partitions leave draining nodes, some at a time.
func (l *leadership) drain(img *meta.Image) {
	if moves := balance.Drain(img, l.loads(), l.m.opt.MovesMax); len(moves) > 0 {
		l.submit("moving partitions off draining nodes", &meta.MovePartitions{Partitions: moves})
	}
}

// balance evens the load out, and reports whether there was anything to do.
func (l *leadership) balance(img *meta.Image, now time.Time) bool {
	moves, why := l.m.opt.Balance(img, l.loads(), now)
	if len(moves) == 0 {
		return false
	}
	l.submit("evening the load out", &meta.MovePartitions{Partitions: moves})
	l.m.log.Info("moving partitions to even the load out", "partitions", len(moves), "why", why)
	return true
}
