package cluster

import (
	"context"
	"time"

	"sluice/test/clients"
)

// stuckAfter is how long nothing may be copied in transactions once the faults are over: the timeout of a transaction that somebody has left open, several
// times. How long all of it takes depends on what else the machine has to do, but it has to go on.
const stuckAfter = 90 * time.Second

// copying is a topic that is copied to another one in transactions, while brokers die and partitions move.
type copying struct {
	w *world
	*clients.Copying
}

// copy begins to produce, a record every so often, and to copy, with clients that live for so long at least.
func (w *world) copy(copiers int, every, life time.Duration) *copying {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), servedWithin)
	defer cancel()
	c, err := w.StartCopying(ctx, copiers, every, life, func(id string, life int, err error) {
		w.t.Logf("%s, life %d: %v", id, life, err) // a client that was fenced, or that the death of brokers has ended
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Halt)
	return &copying{w, c}
}

// finish waits for the copies of all as long as there are more of them, and for the ends of all transactions.
func (c *copying) finish(ctx context.Context) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stuck := time.AfterFunc(stuckAfter, cancel)
	defer stuck.Stop()
	c.Copied = func(int) { stuck.Reset(stuckAfter) }
	return c.Finish(ctx)
}

// check waits for the copies of all and for the ends of all transactions. Then each copy must be there once.
func (c *copying) check() {
	c.w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), readWithin)
	defer cancel()
	copied, err := c.Finish(ctx)
	if err != nil {
		c.w.t.Errorf("copies in transactions: %v (seed %d)", err, c.w.seed)
		c.w.dump()
	}
	c.w.t.Logf("%d records were copied in transactions", copied)
}
