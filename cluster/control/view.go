package control

import (
	"context"
	"sync/atomic"

	"sluice/base"
	"sluice/cluster/meta"
)

// view is the newest image that this process knows, and those who want to hear of the next. A controller advances it with what it
// has made durable, a follower with what it has heard of; it never goes back.
type view struct {
	image   atomic.Pointer[meta.Image]
	notify  *notifier
	metrics *metrics
}

func newView(img *meta.Image, m *metrics) *view {
	v := &view{notify: newNotifier(img), metrics: m}
	v.image.Store(img)
	m.observe(img)
	return v
}

// publish makes img the newest image, unless the view has it already. One caller at a time.
func (v *view) publish(img *meta.Image) {
	if img.Pos() <= v.image.Load().Pos() {
		return
	}
	v.image.Store(img)
	v.metrics.observe(img)
	v.notify.publish(img)
}

// waitFor waits until the image has reached pos; over, when closed, ends the wait with why.
func (v *view) waitFor(ctx context.Context, pos base.MetaPos, over <-chan struct{}, why func() error) error {
	for {
		changed := v.notify.changed()
		if v.image.Load().Pos() >= pos {
			return nil
		}
		select {
		case <-changed:
		case <-over:
			return why()
		case <-ctx.Done():
			return base.Errorf(base.Unavailable, "metadata position %d is not reached: %w", pos, ctx.Err())
		}
	}
}
