package file

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"slices"

	"sluice/base"
	"sluice/storage/wal/block"
)

// Check reads the WAL of a node epoch from a position to where it ends now, and changes nothing: neither token nor lock is touched, so its
// writer may be at work. It returns the end and how many blocks it read. Errors are those of Read, Corrupt among them for a durable block
// that cannot be read, which beside a writer may also mean that the position was trimmed meanwhile: look again from a newer one. NotFound:
// there is no such WAL any more, or not yet.
func (c Config) Check(ctx context.Context, opt block.Options, victim block.Victim, from base.WALPos) (end base.WALPos, blocks int, err error) {
	if err := c.check(opt.Cluster, victim.Node); err != nil {
		return 0, 0, err
	}
	dir := epochName(victim.Node, victim.Epoch)
	names, err := c.FS.List(c.in(dir))
	switch {
	case errors.Is(err, fs.ErrNotExist) || slices.Contains(names, removedName):
		return 0, 0, base.Errorf(base.NotFound, "%s does not exist", c.in(dir))
	case err != nil:
		return 0, 0, classify(err)
	}
	v, err := c.openVolume(opt, victim)
	if err != nil {
		return 0, 0, err
	}
	defer v.close()
	sealed, err := c.readSeal(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return v.follow(ctx, opt, from, math.MaxUint64)
	}
	if err != nil {
		return 0, 0, classify(err)
	}
	if end, blocks, err = v.follow(ctx, opt, from, sealed); err == nil && end < sealed {
		err = base.Errorf(base.Corrupt, "%s: block %d is unreadable; the log was sealed at %d", v.dir, end, sealed)
	}
	return end, blocks, err
}

// follow reads blocks from a position up to another one, or to where the log ends. A writer may be at work: what is unreadable although a later
// block says that it was durable may have been written since the walk was there, so it is read once more after that was seen.
func (v *volume) follow(ctx context.Context, opt block.Options, from, to base.WALPos) (end base.WALPos, blocks int, err error) {
	w, err := v.walkFrom(ctx, from)
	if err != nil {
		return 0, 0, err
	}
	proven, doubted := max(from, v.durable), base.WALPos(math.MaxUint64)
	var refused error
	for w.pos < to {
		if err := ended(ctx); err != nil {
			return w.pos, blocks, err
		}
		before := *w
		f, ok, last, err := w.next()
		if err != nil || last {
			return w.pos, blocks, err
		}
		if ok {
			proven = max(proven, f.header.Durable)
			b, err := w.content(f, opt)
			if err == nil {
				b.Release()
				blocks++
				continue
			}
			if !base.IsKind(err, base.Corrupt) {
				return f.header.Pos, blocks, err
			}
			*w = before
		}
		if doubted == w.pos {
			return w.pos, blocks, refused
		}
		if refused = v.refuseIfDurable(ctx, w.pos, w.at, ok, proven); refused == nil {
			return w.pos, blocks, nil
		}
		doubted = w.pos
	}
	return w.pos, blocks, nil
}
