package peer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"sluice/base"
)

// target is what a client knows of one address. Guarded by the client. At most one of conn and dial is set.
type target struct {
	conn     *clientConn
	dial     *dial     // the attempt under way
	failures int       // attempts that failed since the last one that did not
	retryAt  time.Time // no attempt before this
	lastErr  error     // of the last failed attempt
}

// dial is one attempt to connect. All calls to the address wait for it, each no longer than its own context.
type dial struct {
	done chan struct{} // closed when conn or err is set
	conn *clientConn
	err  error
}

var errClientClosed = base.Errorf(base.Closed, "the client was closed")

// connect returns the connection to addr, and makes one if there is none.
func (c *Client) connect(ctx context.Context, addr string) (*clientConn, error) {
	c.mu.Lock()
	if c.mu.closed {
		c.mu.Unlock()
		return nil, errClientClosed
	}
	t := c.targetLocked(addr)
	if conn := t.conn; conn != nil && conn.link.cause() == nil {
		c.mu.Unlock()
		return conn, nil
	}
	t.conn = nil
	if t.dial == nil {
		if wait := time.Until(t.retryAt); wait > 0 {
			err := t.lastErr
			c.mu.Unlock()
			return nil, base.Errorf(base.Unavailable, "call %s: not tried again for %v: %w", addr, wait.Round(time.Millisecond), err)
		}
		t.dial = &dial{done: make(chan struct{})}
		c.all.Add(1)
		go c.dial(addr, t, t.dial)
	}
	d := t.dial
	c.mu.Unlock()
	select {
	case <-d.done:
	case <-ctx.Done():
		return nil, base.Errorf(base.Unavailable, "call %s: while connecting: %w", addr, ctx.Err())
	}
	return d.conn, d.err
}

// targetLocked returns what is known of addr. Addresses that are of no use any more are forgotten when there are many.
func (c *Client) targetLocked(addr string) *target {
	if t := c.mu.targets[addr]; t != nil {
		return t
	}
	if len(c.mu.targets) >= targetsMax {
		now := time.Now()
		for a, t := range c.mu.targets {
			if t.conn == nil && t.dial == nil && now.After(t.retryAt) {
				delete(c.mu.targets, a)
			}
		}
	}
	t := &target{}
	c.mu.targets[addr] = t
	return t
}

// dial makes one attempt and tells everybody who waits for it.
func (c *Client) dial(addr string, t *target, d *dial) {
	defer c.all.Done()
	ctx, cancel := context.WithTimeout(c.ctx, c.opt.limits.handshake)
	defer cancel()
	conn, err := c.handshake(ctx, addr)
	c.metrics.handshake(err)
	c.mu.Lock()
	t.dial = nil
	if err == nil && c.mu.closed {
		err = errClientClosed
		conn.link.nc.Close()
	}
	failures := t.failures
	if err != nil {
		t.failures++
		t.lastErr = err
		t.retryAt = time.Now().Add(backoff(t.failures, c.opt.limits, rand.Float64()))
		d.err = base.Errorf(base.Unavailable, "call %s: %w", addr, err)
		if c.mu.closed {
			d.err = errClientClosed
		}
	} else {
		t.failures, t.retryAt, t.lastErr = 0, time.Time{}, nil
		t.conn, d.conn = conn, conn
		c.all.Add(2)
		go conn.writeLoop()
		go conn.readLoop()
	}
	closed := c.mu.closed
	c.mu.Unlock()
	close(d.done)
	switch {
	case closed:
	case err != nil && failures == 0:
		c.opt.Logger.Warn("cannot connect to another broker", "address", addr, "error", err)
	case err != nil:
		c.opt.Logger.Debug("cannot connect to another broker", "address", addr, "error", err, "attempts", failures+1)
	default:
		c.opt.Logger.Debug("connected to another broker", "address", addr, "failures_before", failures)
	}
}

// backoff is how long to wait after so many failures in a row; random in [0, 1) spreads it over the upper half.
func backoff(failures int, lim limits, random float64) time.Duration {
	wait := lim.backoffMax
	if shift := failures - 1; shift < 20 {
		wait = min(lim.backoffMin<<shift, lim.backoffMax)
	}
	return wait/2 + time.Duration(random*float64(wait/2))
}

// handshake dials and shakes hands. Both end with ctx, which has a deadline.
func (c *Client) handshake(ctx context.Context, addr string) (*clientConn, error) {
	nc, err := c.opt.Dial(ctx, addr)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no connection within %v: %w", c.opt.limits.handshake, err)
		}
		return nil, base.Wrap(base.Unavailable, err)
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() }) // the client is closed, or out of time
	lim := c.opt.limits
	other, err := greet(nc, newHello(c.opt.Cluster, lim.versionMin, lim.versionMax, maxFrameDefault), c.opt.Secret, lim.handshake)
	if !stop() && err == nil {
		err = base.Wrap(base.Unavailable, ctx.Err())
	}
	if err != nil {
		nc.Close()
		return nil, timedOut(err, lim.handshake)
	}
	return newClientConn(c, addr, nc, int(other.maxFrame)), nil
}

// timedOut says so of an error that means that the handshake took too long.
func timedOut(err error, limit time.Duration) error {
	if isTimeout(err) || errors.Is(err, net.ErrClosed) {
		return base.Errorf(base.Unavailable, "connected, but no handshake within %v: %w", limit, err)
	}
	return err
}
