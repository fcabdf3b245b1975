package world

import (
	"context"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// door is the bucket as one life of a broker sees it. It is not there any more when the broker is dead, and shut while it is paused.
type door struct {
	inner driver.Store
	name  string
	trace *Trace
	point func(op, key string, before bool) // told of every put and deletion, right before it happens and right after

	mu      sync.Mutex
	rng     *rand.Rand
	latency Latency
	dead    chan struct{} // closed
	shut    chan struct{} // nil: open; else closed when it opens
	deaf    chan struct{} // the same for answers alone
	meta    time.Time     // when a slot of the metadata log was put last
}

var _ driver.Store = (*door)(nil)

func newDoor(inner driver.Store, name string, seed uint64, l Latency, trace *Trace) *door {
	return &door{inner: inner, name: name, trace: trace, rng: rand.New(rand.NewPCG(seed, 0xd00)), latency: l, dead: make(chan struct{})}
}

// close makes the bucket unreachable for good.
func (d *door) close() { close(d.dead) }

func (d *door) isDead() bool {
	select {
	case <-d.dead:
		return true
	default:
		return false
	}
}

// setShut holds all requests back, or lets them go on.
func (d *door) setShut(shut bool) { d.set(&d.shut, shut) }

// setDeaf holds all answers back, or lets them go on. Requests get through.
func (d *door) setDeaf(deaf bool) { d.set(&d.deaf, deaf) }

func (d *door) set(which *chan struct{}, shut bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case shut && *which == nil:
		*which = make(chan struct{})
	case !shut && *which != nil:
		close(*which)
		*which = nil
	}
}

// draw returns how long half of a request takes.
func (d *door) draw() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.latency
	wait := between(d.rng, time.Duration(l.Min), time.Duration(l.Max))
	if d.rng.Float64() < l.Slowly {
		wait = between(d.rng, time.Duration(l.Max), time.Duration(l.Slow))
	}
	return time.Duration(wait) / 2
}

// whenOpen returns nil when the door is open, else what is closed when it opens.
func (d *door) whenOpen(answer bool) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut == nil && answer {
		return d.deaf
	}
	return d.shut
}

// pass takes a request or its answer through the door.
func (d *door) pass(ctx context.Context, answer bool, lost base.Kind) error {
	t := time.NewTimer(d.draw())
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.dead:
	case <-ctx.Done():
		return base.Wrap(lost, ctx.Err())
	}
	for opens := d.whenOpen(answer); opens != nil; opens = d.whenOpen(answer) {
		select {
		case <-opens:
		case <-d.dead:
			return base.Errorf(lost, "%s is down", d.name)
		case <-ctx.Done():
			return base.Wrap(lost, ctx.Err())
		}
	}
	select {
	case <-d.dead:
		return base.Errorf(lost, "%s is down", d.name)
	default:
		return nil
	}
}

// through does a request. lost is the kind of an answer that does not come.
func (d *door) through(ctx context.Context, op, key string, lost base.Kind, do func() error) error {
	if err := d.pass(ctx, false, base.Unavailable); err != nil {
		return err
	}
	durable := op == "put" || op == "delete"
	if durable {
		d.point(op, key, true)
		if d.isDead() {
			return base.Errorf(lost, "%s is down", d.name)
		}
	}
	err := do()
	d.trace.Event("%s %s %s: %v", d.name, op, key, kindOf(err))
	if err == nil && op == "put" && strings.HasPrefix(key, "meta/") {
		d.wroteMeta()
	}
	if durable && !d.isDead() {
		d.point(op, key, false)
	}
	if gone := d.pass(ctx, true, lost); gone != nil {
		return gone
	}
	return err
}

func (d *door) wroteMeta() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.meta = time.Now()
}

// lastWroteMeta is when this life put a slot of the metadata log last, which is what the controller does.
func (d *door) lastWroteMeta() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.meta
}

func kindOf(err error) string {
	if err == nil {
		return "ok"
	}
	return base.KindOf(err).String()
}

func (d *door) String() string { return d.inner.String() }

// Put implements driver.Store.
func (d *door) Put(ctx context.Context, key string, body [][]byte, opt driver.PutOptions) error {
	return d.through(ctx, "put", key, base.Undetermined, func() error { return d.inner.Put(ctx, key, body, opt) })
}

// Get implements driver.Store.
func (d *door) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	out := dst
	err := d.through(ctx, "get", key, base.Unavailable, func() (err error) {
		out, err = d.inner.Get(ctx, key, off, n, dst)
		return err
	})
	if err != nil {
		return dst, err
	}
	return out, nil
}

// Stat implements driver.Store.
func (d *door) Stat(ctx context.Context, key string) (info driver.Info, err error) {
	err = d.through(ctx, "stat", key, base.Unavailable, func() (err error) {
		info, err = d.inner.Stat(ctx, key)
		return err
	})
	return info, err
}

// List implements driver.Store.
func (d *door) List(ctx context.Context, prefix, after string) iter.Seq2[driver.Info, error] {
	return func(yield func(driver.Info, error) bool) {
		if err := d.through(ctx, "list", prefix, base.Unavailable, func() error { return nil }); err != nil {
			yield(driver.Info{}, err)
			return
		}
		for info, err := range d.inner.List(ctx, prefix, after) {
			if !yield(info, err) || err != nil {
				return
			}
		}
	}
}

// Delete implements driver.Store.
func (d *door) Delete(ctx context.Context, keys ...string) error {
	key := ""
	if len(keys) > 0 {
		key = keys[0]
	}
	return d.through(ctx, "delete", key, base.Unavailable, func() error { return d.inner.Delete(ctx, keys...) })
}
