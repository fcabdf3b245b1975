package slotlog

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"sluice/base"
)

// deleteBatch is how many slots one delete names.
const deleteBatch = 1000

// DeleteBelow deletes the data slots [from, to) that exist, never slot 0 and never a seal. The caller knows that to is at or below
// the committed trim, or that the epoch is over and nobody will read it. It is idempotent; slots that a late put resurrects go
// when it is called again with a from below them.
func (l Log) DeleteBelow(ctx context.Context, epoch, from, to uint64) error {
	from = max(from, 1)
	if from >= to {
		return nil
	}
	var batch []string
	for info, err := range l.Store.List(ctx, l.EpochPrefix(epoch), l.Key(epoch, from-1)) {
		if err != nil {
			return fmt.Errorf("trim: %w", err)
		}
		slot, ok := l.slotOf(epoch, info.Key)
		if !ok {
			continue
		}
		if slot >= to {
			break
		}
		if info.Size <= sealMax { // what is longer is no seal; the size of a slot never changes
			if data, err := l.isData(ctx, epoch, slot); err != nil {
				return fmt.Errorf("trim: %w", err)
			} else if !data {
				continue
			}
		}
		if batch = append(batch, info.Key); len(batch) == deleteBatch {
			if err := l.Store.Delete(ctx, batch...); err != nil {
				return fmt.Errorf("trim: %w", err)
			}
			batch = batch[:0]
		}
	}
	if len(batch) == 0 {
		return nil
	}
	if err := l.Store.Delete(ctx, batch...); err != nil {
		return fmt.Errorf("trim: %w", err)
	}
	return nil
}

// DeleteOwn deletes the slots [from, to) but slot 0, without looking: all of them hold data and are below the committed trim, as the writer knows of slots that
// were acknowledged to it. It is idempotent, and costs one request for every thousand slots.
func (l Log) DeleteOwn(ctx context.Context, epoch, from, to uint64) error {
	var batch []string
	for slot := max(from, 1); slot < to; slot++ {
		if batch = append(batch, l.Key(epoch, slot)); len(batch) == deleteBatch || slot == to-1 {
			if err := l.Store.Delete(ctx, batch...); err != nil {
				return fmt.Errorf("trim: %w", err)
			}
			batch = batch[:0]
		}
	}
	return nil
}

// slotOf is the inverse of Key for the given epoch.
func (l Log) slotOf(epoch uint64, key string) (uint64, bool) {
	hex, ok := strings.CutPrefix(key, l.EpochPrefix(epoch))
	if !ok || len(hex) != 16 {
		return 0, false
	}
	slot, err := strconv.ParseUint(hex, 16, 64)
	return slot, err == nil && l.Key(epoch, slot) == key
}

// isData reports whether the slot holds data, as opposed to a seal, something that is no slot, or nothing.
func (l Log) isData(ctx context.Context, epoch, slot uint64) (bool, error) {
	h, err := l.Store.Get(ctx, l.Key(epoch, slot), 0, int64(l.headerLen()), nil)
	if base.IsKind(err, base.NotFound) || base.IsKind(err, base.OutOfRange) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	p, err := l.parseHeader(epoch, slot, h)
	return err == nil && p.kind == kindData, nil
}
