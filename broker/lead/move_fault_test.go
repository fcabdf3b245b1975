package lead

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/objstore/fault"
)

// submitHook is what a test does with a command: submit is the real thing.
type submitHook = func(ctx context.Context, c meta.Command, submit func() (meta.Result, error)) (meta.Result, error)

// The ways in which a command goes wrong.
var troubles = map[string]submitHook{
	"refused": func(context.Context, meta.Command, func() (meta.Result, error)) (meta.Result, error) {
		return nil, base.Errorf(base.Unavailable, "no controller")
	},
	"answer lost": func(_ context.Context, _ meta.Command, submit func() (meta.Result, error)) (meta.Result, error) {
		submit()
		return nil, base.Errorf(base.Undetermined, "the answer was lost")
	},
	"late": func(_ context.Context, _ meta.Command, submit func() (meta.Result, error)) (meta.Result, error) {
		go func() {
			time.Sleep(30 * time.Millisecond)
			submit()
		}()
		return nil, base.Errorf(base.Undetermined, "it may yet take effect")
	},
	"hangs": func(ctx context.Context, _ meta.Command, _ func() (meta.Result, error)) (meta.Result, error) {
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond): // the engine's calls have no deadline of their own
		}
		return nil, base.Errorf(base.Undetermined, "no answer")
	},
}

// troubled makes the first times commands of a kind go wrong.
func troubled(command meta.Command, times int32, do submitHook) (hook submitHook, hits *atomic.Int32) {
	hits = new(atomic.Int32)
	name := meta.CommandName(command)
	return func(ctx context.Context, c meta.Command, submit func() (meta.Result, error)) (meta.Result, error) {
		if meta.CommandName(c) == name && hits.Add(1) <= times {
			return do(ctx, c, submit)
		}
		return submit()
	}, hits
}

// TestMoveWithTroubledCommands makes every command on the way of a move fail three times, in every way.
func TestMoveWithTroubledCommands(t *testing.T) {
	for _, c := range []struct {
		command meta.Command
		side    int // whose
	}{
		{&meta.PrepareObjects{}, 0}, {&meta.CommitUpload{}, 0}, {&meta.HandOver{}, 0}, {&meta.ServePartitions{}, 1},
	} {
		for how, do := range troubles {
			t.Run(fmt.Sprint(meta.CommandName(c.command), " ", how), func(t *testing.T) {
				p := newPair(t, func(o *Options) {
					o.HandOverRetry, o.CallTimeout = 50*time.Millisecond, 50*time.Millisecond
					o.RetryMin, o.RetryMax = 100*time.Millisecond, 200*time.Millisecond // longer than late ones are late
				})
				defer p.end()
				topic, ws := p.load(2)
				hook, hits := troubled(c.command, 3, do)
				p.sides[c.side].client.set(hook)
				p.move(topic, p.sides[1].node.ID)
				p.servedBy(topic, p.sides[1].node.ID)
				if hits.Load() == 0 {
					t.Fatal("nothing went wrong")
				}
				progress(t, ws, 5)
				p.move(topic, p.sides[0].node.ID)
				p.servedBy(topic, p.sides[0].node.ID)
				p.stopProducers(ws)
			})
		}
	}
}

// load makes a topic led by the first node, with a producer at every partition.
func (p *pair) load(partitions int32) (base.UUID, []*producer) {
	p.t.Helper()
	topic := p.create("orders", partitions, p.sides[0].node.ID)
	var ws []*producer
	for i := range partitions {
		ws = append(ws, p.produceTo(topic, i))
	}
	progress(p.t, ws, 3)
	return topic, ws
}

// TestMoveThatCannotFinishResumes makes the upload hang, ahead of the pause or after it: the partitions are served by the old leader for as
// long as it lasts.
func TestMoveThatCannotFinishResumes(t *testing.T) {
	for _, ahead := range []bool{true, false} {
		t.Run(fmt.Sprint("ahead ", ahead), func(t *testing.T) {
			p := newPair(t, func(o *Options) { o.MoveAhead, o.MoveTimeout = 50*time.Millisecond, 50*time.Millisecond })
			defer p.end()
			topic, ws := p.load(2)
			slow := fault.Rule{Name: "slow", Op: fault.Put, Effect: fault.Refuse, Delay: 100 * time.Millisecond}
			if ahead {
				p.bucket.SetRules(slow)
			} else {
				p.pausing(func() { p.bucket.SetRules(slow) })
			}
			p.move(topic, p.sides[1].node.ID)
			for p.bucket.Fired("slow") < 2 {
				time.Sleep(time.Millisecond)
			}
			progress(t, ws, 20)
			if got := p.sides[0].resumed(t); got > 0 == ahead {
				t.Fatalf("resumed %d times", got)
			}
			if q, _ := p.ctl.Image().Partition(topic, 0); q.Leader != p.sides[0].node.ID || q.LeaderEpoch != 0 {
				t.Fatal("moved, or opened anew, although nothing was handed over", q)
			}
			p.bucket.SetRules()
			p.pausing(nil)
			p.servedBy(topic, p.sides[1].node.ID)
			progress(t, ws, 3)
			p.stopProducers(ws)
		})
	}
}

// TestMoveToANodeThatIsGone fences the target just before the hand-over.
func TestMoveToANodeThatIsGone(t *testing.T) {
	p := newPair(t, nil)
	topic, ws := p.load(3)
	hook, hits := troubled(&meta.HandOver{}, 1, func(_ context.Context, _ meta.Command, submit func() (meta.Result, error)) (meta.Result, error) {
		if _, err := p.ctl.Submit(ctx, &meta.FenceNode{Node: p.sides[1].node, Why: "test"}); err != nil {
			t.Error(err)
		}
		return submit()
	})
	p.sides[0].client.set(hook)
	p.move(topic, p.sides[1].node.ID)
	p.await("served by the old leader", func() bool {
		for q := range p.ctl.Image().PartitionsOf(topic) {
			part, err := p.sides[0].l.dir.Get(topic, q.Index)
			if err != nil || part.Paused() || q.State != meta.Serving || q.Target != base.NoNode || hits.Load() == 0 {
				return false
			}
			if q.LeaderEpoch != 1 || part.LeaderEpoch() != 1 {
				t.Fatal("not opened anew, although the close was sent", q)
			}
		}
		return true
	})
	progress(t, ws, 5)
	p.stopProducers(ws)
	p.end()
}

// TestMoveIsCalledOff takes the wish back while the upload ahead of the move is slow.
func TestMoveIsCalledOff(t *testing.T) {
	p := newPair(t, nil)
	defer p.end()
	topic, ws := p.load(2)
	p.bucket.SetRules(fault.Rule{Name: "slow", Op: fault.Put, Effect: fault.Refuse})
	p.move(topic, p.sides[1].node.ID)
	for p.bucket.Fired("slow") < 1 {
		time.Sleep(time.Millisecond)
	}
	p.move(topic, p.sides[0].node.ID)
	p.servedBy(topic, p.sides[0].node.ID)
	p.bucket.SetRules()
	progress(t, ws, 5)
	if q, _ := p.ctl.Image().Partition(topic, 0); q.LeaderEpoch != 0 {
		t.Fatal("moved", q)
	}
	p.stopProducers(ws)
}
