package handle

// Client quotas: what a request is counted as, and how its client is told to wait. Package quota has the arithmetic.
//
// The bytes of a Produce count when it arrives, those of a Fetch when it is answered. CPU time of a request is what its handler takes on the connection's
// goroutine; it counts when that is done, and the client is told with its next request.

import (
	"math"
	"reflect"
	"time"

	"sluice/cluster/meta"
	"sluice/edge/quota"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// limited serves a request and counts it for its client's quotas.
func (h *Handler) limited(c *call, serve serve) {
	if h.opt.Quotas != nil {
		_, user := c.Principal().Cut()
		c.limits = h.opt.Quotas.Client(user, c.client)
	}
	if c.limits == nil {
		serve(h, c)
		return
	}
	c.throttleBy(c.limits.Tired())
	if c.Key == msg.KeyProduce {
		c.throttleBy(c.limits.Add(quota.Produce, requestBytes+len(c.Body)))
	}
	if !c.limits.Limited(quota.Request) {
		serve(h, c)
		return
	}
	limits := c.limits // c may be another goroutine's by the time serve returns
	limits.Busy(cpuTime(func() { serve(h, c) }))
}

// requestBytes is what stands before the body of a request.
const requestBytes = 4 + 8

// throttleBy has the client wait for d, if it does not wait longer already.
func (c *call) throttleBy(d time.Duration) {
	if d > c.throttle {
		c.throttle = d
		c.Throttle(d)
	}
}

// tellThrottle puts the time to wait into an answer, if its kind has a place for it.
func tellThrottle(m msg.Message, d time.Duration) {
	if f := reflect.ValueOf(m).Elem().FieldByName("ThrottleTimeMs"); f.IsValid() {
		f.SetInt(min(d.Milliseconds(), math.MaxInt32))
	}
}

// mutate counts n partitions that are to be created or deleted. From version strictFrom on it refuses them when the client has created or deleted too
// many; before, they are allowed, and the client waits afterwards.
func (c *call) mutate(strictFrom int16, n int) error {
	allowed, wait := c.limits.Mutate(n, c.Version >= strictFrom)
	c.throttleBy(wait)
	if !allowed {
		return kerr.ThrottlingQuotaExceeded.Err()
	}
	return nil
}

// known reports whether there is a topic of that name.
func (h *Handler) known(topic string) bool {
	_, ok := h.opt.Control.Image().TopicByName(topic)
	return ok
}

// partitionsOf returns how many partitions a topic has, 0 if it does not exist.
func (h *Handler) partitionsOf(ref meta.TopicRef) int {
	img := h.opt.Control.Image()
	t, ok := img.TopicByName(ref.Name)
	if !ref.ID.IsZero() {
		t, ok = img.TopicByID(ref.ID)
	}
	if !ok {
		return 0
	}
	return int(t.Partitions)
}
