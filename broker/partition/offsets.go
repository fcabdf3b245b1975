package partition

import (
	"context"

	"sluice/base"
	"sluice/storage/stream"
	"sluice/wire/batch"
	"sluice/wire/kerr"
)

// ListOffset answers one partition of ListOffsets; ts is a time in milliseconds or one of the markers (LatestOffset, …). Where nothing
// matches, Found holds -1 and there is no error. Errors are *kerr.Error.
func (p *Partition) ListOffset(ctx context.Context, ts int64, isolation Isolation, leaderEpoch int32) (Found, error) {
	none := Found{-1, -1, NoEpoch}
	res, _, refusal := p.watermarks()
	if refusal == nil {
		refusal = p.checkEpoch(leaderEpoch)
	}
	if refusal != nil {
		return none, refusal
	}
	limit := res.Limit(isolation)
	switch ts {
	case LatestOffset:
		return Found{limit, -1, int32(p.opt.Epoch)}, nil
	case EarliestOffset, EarliestLocalOffset:
		return Found{res.LogStart, -1, p.epochAt(res.LogStart)}, nil
	case LatestTieredOffset, EarliestPendingUpload:
		return none, nil // there is no second tier
	case MaxTimestampOffset:
		f, err := p.findMax(ctx, res.LogStart, res.HW)
		if err == nil && f.Offset >= limit { // as Kafka has it: not the next largest
			f = none
		}
		return f, err
	}
	if ts < 0 {
		return none, kerr.Errorf(kerr.UnsupportedVersion, "timestamp %d has no meaning", ts)
	}
	return p.findTime(ctx, ts, res.LogStart, limit)
}

// findTime finds the first record in [from, limit) whose timestamp is at least ts. An index range may be named whose largest timestamp
// belongs to a record outside of [from, limit); then the search goes on behind it.
func (p *Partition) findTime(ctx context.Context, ts int64, from, limit base.Offset) (Found, error) {
	for from < limit {
		r, ok, err := p.opt.Data.FindTimestamp(ctx, ts, from, limit)
		if err != nil {
			return Found{-1, -1, NoEpoch}, p.readFailed(from, err)
		}
		if !ok {
			break
		}
		f, err := p.scan(ctx, ts, max(from, r.Start), min(limit, r.End))
		if err != nil || f.Offset >= 0 {
			return f, err
		}
		if r.End <= from {
			panic("BUG: partition: the index makes no progress")
		}
		from = r.End
	}
	return Found{-1, -1, NoEpoch}, nil
}

// findMax finds the first record in [from, limit) that has the largest timestamp. The index may name a range for a record that lies
// outside of [from, limit), or that a compaction has removed since; then that range is decoded whole, and the search goes on on both
// sides of it.
func (p *Partition) findMax(ctx context.Context, from, limit base.Offset) (Found, error) {
	best := Found{-1, -1, NoEpoch}
	for from < limit {
		r, ts, ok, err := p.opt.Data.MaxTimestamp(ctx, from, limit)
		if err != nil {
			return best, p.readFailed(from, err)
		}
		if !ok || ts <= best.Timestamp {
			break
		}
		f, err := p.scan(ctx, ts, max(from, r.Start), min(limit, r.End))
		if err != nil || f.Offset >= 0 {
			return f, err
		}
		if f, err = p.scanMax(ctx, max(from, r.Start), min(limit, r.End)); err != nil {
			return f, err
		}
		if f.Timestamp > best.Timestamp || f.Timestamp == best.Timestamp && f.Offset < best.Offset {
			best = f
		}
		if r.Start <= from {
			from = r.End
			continue
		}
		if f, err = p.findMax(ctx, r.End, limit); err != nil {
			return f, err
		}
		if f.Timestamp > best.Timestamp {
			best = f
		}
		limit = r.Start
	}
	return best, nil
}

// scanMax decodes [from, to) for the first record with the largest timestamp.
func (p *Partition) scanMax(ctx context.Context, from, to base.Offset) (Found, error) {
	best := Found{-1, -1, NoEpoch}
	for {
		f, err := p.scan(ctx, best.Timestamp+1, from, to)
		if err != nil || f.Offset < 0 {
			return best, err
		}
		best, from = f, f.Offset+1
	}
}

// scanBytes is how much scan reads at once.
const scanBytes = 1 << 20

// scan decodes [from, to) up to the first record whose timestamp is at least ts.
func (p *Partition) scan(ctx context.Context, ts int64, from, to base.Offset) (Found, error) {
	none := Found{-1, -1, NoEpoch}
	for from < to {
		c, err := p.opt.Data.Read(ctx, from, to, scanBytes, true)
		if err != nil {
			return none, p.readFailed(from, err)
		}
		if c == nil || c.Bytes == 0 {
			return none, nil
		}
		f, err := scanChunk(c, ts, from, to)
		from = c.End
		c.Release()
		if err != nil || f.Offset >= 0 {
			return f, err
		}
	}
	return none, nil
}

func scanChunk(c *stream.Chunk, ts int64, from, to base.Offset) (Found, error) {
	for b, err := range batches(c) {
		if err != nil {
			return Found{-1, -1, NoEpoch}, readError(err)
		}
		if b.MaxTimestamp() < ts { // markers count as records, as they do in Kafka
			continue
		}
		for r, err := range b.Records(batch.Shared) {
			if err != nil {
				return Found{-1, -1, NoEpoch}, refusedBytes(err)
			}
			at := base.Offset(b.BaseOffset()) + base.Offset(r.OffsetDelta)
			if r.Timestamp >= ts && from <= at && at < to {
				return Found{at, r.Timestamp, b.LeaderEpoch()}, nil
			}
		}
	}
	return Found{-1, -1, NoEpoch}, nil
}

// DeleteRecords moves the log start to upTo (-1: to HW) and returns the new log start; one that is lower than the present start
// changes nothing. The error is a *kerr.Error.
func (p *Partition) DeleteRecords(ctx context.Context, upTo base.Offset) (base.Offset, error) {
	res, _, refusal := p.watermarks()
	if refusal != nil {
		return -1, refusal
	}
	if !p.Config().Delete {
		return -1, kerr.Errorf(kerr.PolicyViolation, "records of %s can not be deleted: cleanup.policy does not have delete", p.opt.Name)
	}
	if upTo == -1 {
		upTo = res.HW
	}
	if upTo < 0 || upTo > res.HW {
		return -1, outOfRange(upTo, res.LogStart, res.HW)
	}
	if upTo > res.LogStart {
		if err := p.trim(ctx, upTo); err != nil {
			return -1, readError(err)
		}
	}
	return p.opt.Data.Start(), nil
}
