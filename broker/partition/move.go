package partition

import (
	"context"

	"sluice/base"
	"sluice/wire/kerr"
)

// A partition that is moved to another node stops in two steps: Pause, which can be undone for as long as nobody has been told that the
// streams may be closed, and Abandon, which cannot. Between them reads go on, and appends are refused as Held: they succeed a moment later,
// here or elsewhere.

// Pause refuses appends from now on, as Held, and appends a producer snapshot. drained is closed when all appends under way, the snapshot
// included, have ended. The error says that the partition serves no more.
func (p *Partition) Pause() (drained <-chan struct{}, err error) {
	return p.beginStop(errPaused)
}

// Resume takes appends again after a Pause. It changes nothing if the partition is not paused.
func (p *Partition) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.refusal == errPaused {
		p.refuseLocked(nil)
	}
}

// Paused reports whether appends are refused as Held.
func (p *Partition) Paused() bool { return p.held.Load() }

// Ended reports whether an append failed or the partition was abandoned: nothing is served any more.
func (p *Partition) Ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.ended
}

// Drained waits for the channel that Pause returned. The error is why the partition serves no more, or Unavailable if ctx ended first.
func (p *Partition) Drained(ctx context.Context, drained <-chan struct{}) error {
	select {
	case <-drained:
	case <-ctx.Done():
		return base.Wrap(base.Unavailable, ctx.Err())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.ended {
		return p.mu.refusal
	}
	return nil
}

// refuseLocked sets why appends are refused, nil if they are not.
func (p *Partition) refuseLocked(why *kerr.Error) {
	p.mu.refusal = why
	p.held.Store(why == errPaused)
	if why != nil && why != errPaused && !p.mu.closing {
		p.mu.closing = true
		close(p.closing)
	}
}

// Closing returns a channel that is closed when the partition refuses appends for good: it is being given up, or an append failed. A pause for a move
// does not count.
func (p *Partition) Closing() <-chan struct{} { return p.closing }

// errPaused is the refusal of a paused partition, errClosing that of one which is given up.
var (
	errPaused  = kerr.Errorf(kerr.NotLeaderOrFollower, "the partition is being moved to another node")
	errClosing = kerr.Errorf(kerr.NotLeaderOrFollower, "the partition is being closed here")
)
