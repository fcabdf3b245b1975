package control

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/object"
	"sluice/storage/objstore"
)

// plan is what the life cycle does next, and follows from the image and the time alone.
type plan struct {
	reap   bool
	expire bool
	report []meta.NodeRef  // local nodes whose position a due deletion waits for
	remove []base.ObjectID // to be deleted now
	wait   time.Duration   // until something is due if nothing is to be done now; negative: until the image changes
}

func (p *plan) idle() bool {
	return !p.reap && !p.expire && len(p.report) == 0 && len(p.remove) == 0
}

// planLife looks at the oldest prepared and the oldest marked objects only, so its cost is bounded by deleteMax.
func planLife(img *meta.Image, local []meta.NodeRef, now time.Time, age, grace time.Duration, deleteMax int) plan {
	p := plan{wait: -1, reap: img.DeletedTopics() > 0}
	for o := range img.Prepared() {
		left := time.UnixMilli(o.PreparedMS).Add(age).Sub(now)
		p.expire = left <= 0
		p.later(left)
		break
	}
	applied := img.AppliedByAll()
	for o := range img.Destroying() {
		if left := time.UnixMilli(o.MarkedMS).Add(grace).Sub(now); left > 0 {
			p.later(left)
			break
		}
		if o.MarkedPos > applied {
			p.report = slices.DeleteFunc(slices.Clone(local), func(ref meta.NodeRef) bool {
				n, ok := img.Node(ref.ID)
				return !ok || !img.Current(ref) || n.Applied >= o.MarkedPos
			})
			break // others have to report: the image will change
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
		changed := c.notify.changed()
		p := planLife(c.Image(), c.localNodes(), c.opt.Now(), c.opt.PreparedMaxAge, c.opt.DeleteGrace, min(perTick, 1000))
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

func (c *Controller) localNodes() []meta.NodeRef {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.mu.local)
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
	for _, ref := range p.report {
		if _, err := c.Submit(c.life, &meta.ReportApplied{Node: ref, Pos: c.Image().Pos()}); err != nil {
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
	if err := deleteObjects(ctx, c.opt.Store, c.Image().ClusterID(), ids); err != nil {
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
	return store.Delete(ctx, keys...)
}
