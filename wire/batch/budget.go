package batch

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// What is claimed of a budget for the output of a decompression, before it is known: a multiple of the input, and when that was too little, more.
const (
	claimRatio    = 16
	claimGrowth   = 8
	claimBytesMin = 64 << 10
	claimSmall    = 1 << 20 // up to so much does not wait for what is larger
)

// Budget bounds the memory of decompressed records that exist at one time, wherever they come from. Who asks first gets first; what is small, and is usual, does
// not wait for what is large. A claim is held until the loop over the records ends, which must not wait for another claim of the same budget.
type Budget struct {
	bytes        int64
	small, large *semaphore.Weighted
}

// NewBudget makes a budget of so many bytes for what is large, and a quarter of that for what is small. Who needs more than there is gets all of it.
func NewBudget(bytes int64) *Budget {
	bytes = max(bytes, claimSmall)
	return &Budget{bytes: bytes, small: semaphore.NewWeighted(max(bytes/4, claimSmall)), large: semaphore.NewWeighted(bytes)}
}

// take waits for n bytes, and returns what gives them back.
func (b *Budget) take(n int) (give func()) {
	of, weight := b.large, min(int64(n), b.bytes)
	if n <= claimSmall {
		of = b.small
	}
	if of.Acquire(context.Background(), weight) != nil {
		panic("BUG: batch: a claim that nobody ends has ended")
	}
	return func() { of.Release(weight) }
}

// claimed decompresses within a budget: with a little of it at first.
func (b Batch) claimed(lim Limits) ([]byte, func(), error) {
	most := lim.bytes()
	for n := min(most, max(claimRatio*len(b.Payload()), claimBytesMin)); ; n = min(most, claimGrowth*n) {
		give := lim.Budget.take(n)
		out, release, err := b.decompressed(Limits{Bytes: n})
		if err == nil {
			return out, func() { release(); give() }, nil
		}
		give()
		if n == most {
			return nil, nil, err
		}
	}
}
