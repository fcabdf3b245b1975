package share

import (
	"slices"
	"testing"
	"time"

	"sluice/base"
)

// haulRig is a window whose records all come back after each delivery.
type haulRig struct {
	t *testing.T
	w *window
}

// round hands out once, from where there is something, and gives back what was taken.
func (r haulRig) round(read []base.OffsetRange, n int, strict bool, want ...acquired) {
	r.t.Helper()
	if got := r.w.acquire(time.Unix(0, 0), "m", read, n, 500, strict); !slices.Equal(got, want) {
		r.t.Fatalf("\ngot  %v\nwant %v\nof %s", got, want, show(r.w))
	}
	r.w.release("m")
	write1(r.t, r.w, true)
}

func newHaulRig(t *testing.T, deliveries int16, s State) haulRig {
	return haulRig{t, newWindow(limits{deliveryCount: deliveries, lock: time.Minute, records: 2000}, s, max(0, s.Start))}
}

// TestSlowLot: from half of the deliveries on a lot is handed out in halves, quarters and so on, and each record alone the last time.
func TestSlowLot(t *testing.T) {
	r := newHaulRig(t, 5, State{})
	read := ranges(0, 3, 3, 8)
	for count := range int16(3) {
		r.round(read, 500, false, acquired{0, 7, count + 1})
	}
	r.round(read, 500, false, acquired{0, 3, 4})
	for at := range base.Offset(4) {
		r.round(read, 500, false, acquired{at, at, 5})
	}
	r.round(read, 500, false, acquired{4, 7, 4})
	for at := base.Offset(4); at < 8; at++ {
		r.round(read, 500, false, acquired{at, at, 5})
	}
	check(t, r.w, "[8,8) ")
}

// TestSlowLotIsHandedOutApart: a lot that was delivered often comes neither with what is before it nor with what is behind it.
func TestSlowLotIsHandedOutApart(t *testing.T) {
	r := newHaulRig(t, 4, State{})
	r.round(ranges(0, 2), 500, false, acquired{0, 1, 1})
	for count := range int16(2) {
		r.round(ranges(2, 6), 500, false, acquired{2, 5, count + 1})
	}
	r.round(ranges(0, 2, 2, 6, 6, 8), 500, false, acquired{0, 1, 2})
	r.round(ranges(2, 6, 6, 8), 500, false, acquired{2, 3, 3})
	r.round(ranges(4, 6, 6, 8), 500, false, acquired{4, 5, 3})
	r.round(ranges(6, 8), 500, false, acquired{6, 7, 1})
}

// TestFewDeliveriesAreNotSlow: where two deliveries are all there are, each hands out everything.
func TestFewDeliveriesAreNotSlow(t *testing.T) {
	r := newHaulRig(t, 2, State{})
	r.round(ranges(0, 8), 500, false, acquired{0, 7, 1})
	r.round(ranges(0, 8), 500, false, acquired{0, 7, 2})
	check(t, r.w, "[8,8) ")
}

// TestSlowLotOfWhatWasRead: what is durable says how often records were delivered, and the runs that it has are lots.
func TestSlowLotOfWhatWasRead(t *testing.T) {
	r := newHaulRig(t, 6, State{Start: 0, Batches: []StateBatch{{0, 7, Available, 3}, {8, 9, Available, 1}}})
	r.round(ranges(0, 10), 500, false, acquired{0, 3, 4})
	r.round(ranges(0, 10), 500, false, acquired{0, 1, 5})
	r.round(ranges(0, 10), 500, false, acquired{0, 0, 6})
}

// TestLotOfABatchThatWasCut: with a strict limit of records the rest of a batch belongs to the lot.
func TestLotOfABatchThatWasCut(t *testing.T) {
	r := newHaulRig(t, 4, State{})
	r.round(ranges(0, 8), 3, true, acquired{0, 2, 1})
	r.round(ranges(0, 8), 3, true, acquired{0, 2, 2})
	r.round(ranges(0, 8), 8, true, acquired{0, 2, 3}, acquired{3, 3, 1}) // half of eight
}
