package slotlog

import (
	"context"
	"fmt"
	"iter"

	"sluice/base"
	"sluice/storage/objstore"
)

// Log names one slot log in a bucket: the chain of all its epochs. It holds no state and may be copied.
type Log struct {
	Store   objstore.Store
	Cluster base.UUID // written into every slot and checked on every read
	Name    string    // the key prefix, without a trailing slash; at most 100 bytes
}

// Slot is the content of one slot.
type Slot struct {
	Epoch   uint64
	Slot    uint64
	Seal    *Seal     // not nil: the log's epoch ends here
	Writer  base.UUID // nonce of the writer or sealer that put it
	Records uint32    // as given to Append; 0 in a seal
	Payload []byte    // the body; nil in a seal
}

// Seal says who ended an epoch, and why. The texts are for people and are cut to 128 and 200 bytes.
type Seal struct {
	Who      string
	Why      string
	NewEpoch uint64 // the epoch the sealer means to start; 0: none
}

// EpochPrefix returns what the keys of the epoch's slots start with.
func (l Log) EpochPrefix(epoch uint64) string { return fmt.Sprintf("%s/%016x/", l.Name, epoch) }

// Key returns the key of a slot.
func (l Log) Key(epoch, slot uint64) string {
	return fmt.Sprintf("%s/%016x/%016x", l.Name, epoch, slot)
}

// Read returns the slot, verified. The error is NotFound when it is empty, Corrupt when its bytes are not what a writer of this
// log put there, and the store's otherwise.
func (l Log) Read(ctx context.Context, epoch, slot uint64) (Slot, error) {
	b, err := l.Store.Get(ctx, l.Key(epoch, slot), 0, -1, nil)
	if err != nil {
		return Slot{}, fmt.Errorf("read slot: %w", err)
	}
	return l.decode(epoch, slot, b)
}

// ReadRange yields the slots [from, to) in order, verified, reading up to ahead of them at a time. A slot that is empty or
// unreadable ends it with the error of Read, and a seal ends it after it has been yielded.
func (l Log) ReadRange(ctx context.Context, epoch, from, to uint64, ahead int) iter.Seq2[Slot, error] {
	return func(yield func(Slot, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		answers := make(chan chan answer, max(ahead, 1)-1) // in order of slots; with the one being awaited, ahead in all
		defer func() {
			cancel()
			for c := range answers {
				<-c
			}
		}()
		go l.readAhead(ctx, epoch, from, to, answers)
		for slot := from; slot < to; slot++ {
			var a answer
			if c, ok := <-answers; ok {
				a = <-c
			} else { // readAhead stops early only when ctx ends
				a.err = base.Errorf(base.Unavailable, "read slot %s: %w", l.Key(epoch, slot), ctx.Err())
			}
			if !yield(a.slot, a.err) || a.err != nil || a.slot.Seal != nil {
				return
			}
		}
	}
}

type answer struct {
	slot Slot
	err  error
}

func (l Log) readAhead(ctx context.Context, epoch, from, to uint64, answers chan<- chan answer) {
	defer close(answers)
	for slot := from; slot < to && ctx.Err() == nil; slot++ {
		c := make(chan answer, 1)
		answers <- c // the reader empties the channel when it leaves
		go func() {
			s, err := l.Read(ctx, epoch, slot)
			c <- answer{s, err}
		}()
	}
}
