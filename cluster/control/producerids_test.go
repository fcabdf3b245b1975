package control

import (
	"context"
	"testing"
	"testing/synctest"

	"sluice/base"
	"sluice/cluster/meta"
)

// stuckClient is a controller that answers when it is let.
type stuckClient struct {
	Client
	answer chan struct{}
}

func (c stuckClient) Submit(context.Context, meta.Command) (meta.Result, error) {
	<-c.answer
	return &meta.ProducerIDs{First: 7, Count: 2}, nil
}

// Who waits for a block of ids that somebody else fetches goes away when its own time is over, and gets one of them otherwise.
func TestProducerIDsDoNotHoldUpWhoGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := stuckClient{answer: make(chan struct{})}
		ids := NewProducerIDs(c, meta.NodeRef{})
		got := make(chan int64, 2)
		for range 2 {
			go func() {
				id, err := ids.Next(t.Context())
				if err != nil {
					t.Error(err)
				}
				got <- id
			}()
		}
		synctest.Wait() // one asks, one waits for it
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if id, err := ids.Next(ctx); !base.IsKind(err, base.Unavailable) {
			t.Errorf("who is gone was answered %d, %v", id, err)
		}
		close(c.answer)
		if a, b := <-got, <-got; a+b != 7+8 {
			t.Errorf("the ids of the block were %d and %d", a, b)
		}
	})
}
