package control

import (
	"context"
	"fmt"
	"time"

	"sluice/base"
	"sluice/base/seeded"
	"sluice/cluster/meta"
	"sluice/storage/object"
	"sluice/storage/objstore"
	"sluice/storage/objstore/driver"
)

// plan is what the life cycle does next, and follows from the image and the time alone.
type plan struct {
	reap   bool
	expire bool
	report []meta.ReportApplied // positions of nodes that a due deletion waits for
	remove []base.ObjectID      // to be deleted now
	wait   time.Duration        // until something is due if nothing is to be done now; negative: until the image changes
}

// positionsLook is how often the positions of nodes are looked at while a deletion that is due waits for them.
const positionsLook = time.Second

func (p *plan) idle() bool {
	return !p.reap && !p.expire && len(p.report) == 0 && len(p.remove) == 0
}

// planLife looks at the oldest prepared and the oldest marked objects only, so its cost is bounded by deleteMax.
func planLife(img *meta.Image, positions map[meta.NodeRef]base.MetaPos, now time.Time, age, grace time.Duration, deleteMax int) plan {
	p := plan{wait: -1, reap: img.DeletedTopics() > 0}
	for o := range img.Prepared() {
		left := time.UnixMilli(o.PreparedMS).Add(age).Sub(now)
		p.expire = left <= 0
		p.later(left)
		break
	}
	applied := img.AppliedByAll()
	for o := range img.Destroying() {
		if left := time.UnixMilli(o.MarkedMS).Add(grace).Sub(now); left > 0 && !seeded.Bug(seeded.NoGrace) {
			p.later(left)
			break
		}
		if o.MarkedPos > applied && !seeded.Bug(seeded.NoGrace) {
			for n := range img.Nodes() {
				if pos := min(positions[n.Ref()], img.Pos()); !n.Fenced && n.Applied < o.MarkedPos && pos >= o.MarkedPos {
					p.report = append(p.report, meta.ReportApplied{Node: n.Ref(), Pos: pos})
				}
			}
			p.later(positionsLook) // others have to report, by heartbeats, which change no image
			break
		}
		if p.remove = append(p.remove, o.ID); len(p.remove) == deleteMax {
			break
		}
	}
	return p
}

func (p *plan) later(d time.Duration) {
	if d > 0 && (p.wait < 0 || d < p.wait) {
		p.wait = d
	}
}

// lifeCycle does what the plan says, at most once per tick, until the controller ends.
func (c *Controller) lifeCycle() {
	perTick := max(1, int(float64(c.opt.DeletesPerSecond)*c.opt.Tick.Seconds()))
	for c.life.Err() == nil {
		changed := c.view.notify.changed()
		p := planLife(c.Image(), c.positions(), c.opt.Now(), c.opt.PreparedMaxAge, c.opt.DeleteGrace, min(perTick, 1000))
		if p.idle() {
			c.pause(p.wait, changed)
			continue
		}
		if err := c.carryOut(p); err != nil && c.life.Err() == nil {
			c.opt.Logger.Warn("object life cycle: will be tried again", "error", err)
		}
		c.pause(c.opt.Tick, nil)
	}
}

// positions says how far the nodes have applied the log, as far as this process knows. A controller on its own serves the nodes of its
// own process, which see its image.
func (c *Controller) positions() map[meta.NodeRef]base.MetaPos {
	if c.opt.Positions != nil {
		return c.opt.Positions()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	m := make(map[meta.NodeRef]base.MetaPos, len(c.mu.local))
	for _, ref := range c.mu.local {
		m[ref] = c.Image().Pos()
	}
	return m
}

// pause waits for d, or for ever if it is negative, or until the image changes or the controller ends.
func (c *Controller) pause(d time.Duration, changed <-chan struct{}) {
	var timer <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(max(d, c.opt.Tick/10))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-timer:
	case <-changed:
	case <-c.life.Done():
	}
}

func (c *Controller) carryOut(p plan) error {
	if p.reap {
		if _, err := c.Submit(c.life, &meta.ReapTopics{Limit: reapLimit}); err != nil {
			return fmt.Errorf("reap deleted topics: %w", err)
		}
	}
	if p.expire {
		cmd := &meta.ExpireObjects{AgeMS: c.opt.PreparedMaxAge.Milliseconds(), Limit: expireLimit}
		if _, err := c.Submit(c.life, cmd); err != nil {
			return fmt.Errorf("expire prepared objects: %w", err)
		}
	}
	for _, r := range p.report {
		if _, err := c.Submit(c.life, &r); err != nil {
			return fmt.Errorf("report the applied position: %w", err)
		}
	}
	return c.remove(c.life, p.remove)
}

// remove deletes objects and then says so. A crash between the two repeats the deletion, which is idempotent.
func (c *Controller) remove(ctx context.Context, ids []base.ObjectID) error {
	if len(ids) == 0 {
		return nil
	}
	doomed := ids
	if seeded.Bug(seeded.ObjectLeak) {
		doomed = ids[:len(ids)-1]
	}
	if err := deleteObjects(ctx, c.opt.Store, c.Image().ClusterID(), doomed); err != nil {
		return fmt.Errorf("delete objects: %w", err)
	}
	c.metrics.deleted.Add(float64(len(ids)))
	_, err := c.Submit(ctx, &meta.RemoveObjects{Objects: ids})
	return err
}

func deleteObjects(ctx context.Context, store objstore.Store, cluster base.UUID, ids []base.ObjectID) error {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = object.Key(cluster, id)
	}
	return store.Delete(driver.WithPurpose(ctx, driver.PurposeDelete), keys...)
}
