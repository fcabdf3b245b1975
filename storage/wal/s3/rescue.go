package s3

import (
	"context"
	"fmt"
	"iter"
	"math"

	"sluice/base"
	"sluice/storage/objstore/driver"
	"sluice/storage/slotlog"
	"sluice/storage/wal/block"
)

// Read fetches slots side by side, because each costs a round trip: as many as fit into readBytes if they are as large as the largest of
// those that came last, within these bounds.
const (
	readBytes = 32 << 20
	readMin   = 4
	readMax   = 32
)

// Class is WALs in one place. It holds no state.
type Class struct {
	URL string // of the store that holds them; empty: they are in the bucket
}

// Seal ends the victim's log.
func (c Class) Seal(ctx context.Context, opt block.Options, victim block.Victim, from base.WALPos, who string) (base.WALPos, error) {
	sl, err := c.slots(ctx, opt, victim.Node)
	if err != nil {
		return 0, err
	}
	if opt.OnProgress != nil {
		sl.Store = telling{sl.Store, opt.OnProgress}
	}
	end, err := sl.Seal(ctx, uint64(victim.Epoch), uint64(from), slotlog.Seal{Who: who, Why: "rescue of node epoch " + victim.String()})
	return base.WALPos(end), err
}

// telling is a store that says when a slot was looked at.
type telling struct {
	driver.Store
	getsOn func()
}

// Get implements driver.Store.
func (t telling) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	b, err := t.Store.Get(ctx, key, off, n, dst)
	if err == nil {
		t.getsOn()
	}
	return b, err
}

// Read returns the blocks [from, end).
func (c Class) Read(ctx context.Context, opt block.Options, victim block.Victim, from, end base.WALPos) iter.Seq2[*block.Block, error] {
	return func(yield func(*block.Block, error) bool) {
		sl, err := c.slots(ctx, opt, victim.Node)
		if err != nil {
			yield(nil, err)
			return
		}
		var prev *block.Header
		for slot, err := range readSlots(ctx, sl, uint64(victim.Epoch), uint64(from), uint64(end)) {
			var b *block.Block
			var h block.Header
			if err == nil {
				b, h, err = decode(opt, victim, slot, prev)
			}
			if err != nil {
				if base.IsKind(err, base.NotFound) {
					err = base.Errorf(base.Corrupt, "WAL of node epoch %v: a slot before its end %d is missing: %w", victim, end, err)
				}
				yield(nil, err)
				return
			}
			if !yield(b, nil) {
				return
			}
			prev = &h
		}
	}
}

// fetched is a slot on its way.
type fetched struct {
	slot slotlog.Slot
	err  error
}

// readSlots yields the slots [from, to) in order. The slots that are being fetched or wait for their turn take about readBytes of memory. An
// error ends it.
func readSlots(ctx context.Context, sl slotlog.Log, epoch, from, to uint64) iter.Seq2[slotlog.Slot, error] {
	return func(yield func(slotlog.Slot, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var queue []chan fetched // in order
		defer func() {
			cancel()
			for _, c := range queue {
				<-c
			}
		}()
		width, largest, next := readMin, 0, from
		for slot := from; slot < to; slot++ {
			for ; next < to && len(queue) < width; next++ {
				c, at := make(chan fetched, 1), next
				queue = append(queue, c)
				go func() {
					s, err := sl.Read(ctx, epoch, at)
					c <- fetched{s, err}
				}()
			}
			f := <-queue[0]
			queue = queue[1:]
			largest = max(len(f.slot.Payload), largest*7/8) // what was large long ago is forgotten
			width = min(max(readBytes/max(largest, 1), readMin), readMax, width+2)
			if !yield(f.slot, f.err) || f.err != nil {
				return
			}
		}
	}
}

// decode turns a slot into a block in memory of the pool.
func decode(opt block.Options, victim block.Victim, slot slotlog.Slot, prev *block.Header) (*block.Block, block.Header, error) {
	fail := func(err error) (*block.Block, block.Header, error) {
		return nil, block.Header{}, fmt.Errorf("WAL of node epoch %v, slot %d: %w", victim, slot.Slot, err)
	}
	if slot.Seal != nil {
		return fail(base.Errorf(base.Corrupt, "a seal before the end"))
	}
	h, err := block.Parse(slot.Payload)
	if err != nil {
		return fail(err)
	}
	if !h.Of(opt.Cluster, victim) || uint64(h.Pos) != slot.Slot || h.Size() != len(slot.Payload) || h.Kind != block.KindData || prev != nil && prev.CRC != h.Prev {
		return fail(base.Errorf(base.Corrupt, "block %d of node epoch %d-%d does not belong here", h.Pos, h.Node, h.Epoch))
	}
	buf := opt.Pool.Get(h.Size())
	copy(buf.B, slot.Payload)
	records, err := block.Records(&h, buf.B)
	if err != nil {
		buf.Release()
		return fail(err)
	}
	return &block.Block{Pos: h.Pos, Records: records, Buf: buf, Bytes: h.Size(), Mem: len(buf.B)}, h, nil
}

// Remove deletes the data slots of a sealed log, slot 0 and the seal excepted.
func (c Class) Remove(ctx context.Context, opt block.Options, victim block.Victim) error {
	sl, err := c.slots(ctx, opt, victim.Node)
	if err != nil {
		return err
	}
	return sl.DeleteBelow(driver.WithPurpose(ctx, driver.PurposeDelete), uint64(victim.Epoch), 1, math.MaxUint64)
}

// Create starts a WAL.
func (c Class) Create(ctx context.Context, opt block.Options) (block.Log, error) {
	l, err := c.create(ctx, opt)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Probe has nothing to do: who gives the store has probed it.
func (Class) Probe(context.Context) error { return nil }

// Epochs gives none: listing a bucket never decides anything.
func (Class) Epochs(context.Context) ([]block.Victim, error) { return nil, nil }

// Identify gives NotFound: a bucket is no node's.
func (Class) Identify(context.Context) (block.Identity, error) {
	return block.Identity{}, base.Errorf(base.NotFound, "a WAL of class s3 has no identity")
}

// Format has nothing to do.
func (Class) Format(context.Context, block.Identity) error { return nil }

// SetIdentity has nothing to do.
func (Class) SetIdentity(context.Context, block.Identity) error { return nil }

// Slots returns the slot log that is the WAL of a node in a bucket, all its epochs.
func Slots(store driver.Store, cluster base.UUID, node base.NodeID) slotlog.Log {
	return slotlog.Log{Store: store, Cluster: cluster, Name: fmt.Sprintf("wal/%08x", uint32(node))}
}
