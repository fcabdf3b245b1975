package partition

import (
	"context"

	"sluice/base"
	"sluice/base/seeded"
	"sluice/storage/stream"
	"sluice/wire/kerr"
)

// Read returns whole batches from the one that contains req.From, up to HW or the last stable offset. It never waits for new data. The
// watermarks in the result are right also when the error is OFFSET_OUT_OF_RANGE. Errors are *kerr.Error, or ErrCold.
//
// An offset between HW and the log end is in range, as in Kafka, and reads nothing: a client that was told of it must not be sent
// back to a reset.
func (p *Partition) Read(ctx context.Context, req ReadRequest) (ReadResult, error) {
	res, next, refusal := p.watermarks()
	if refusal == nil {
		refusal = p.checkEpoch(req.LeaderEpoch)
	}
	if refusal != nil {
		return res, refusal
	}
	if req.LastEpoch >= 0 {
		if res.Diverging, refusal = p.diverging(req, res.HW); refusal != nil {
			return res, refusal
		}
		if res.Diverging != nil { // also where the offset is behind the end: the client is told where its epoch ends, and goes back there
			return res, nil
		}
	}
	if req.From < res.LogStart || req.From > next {
		return res, outOfRange(req.From, res.LogStart, next)
	}
	limit := res.Limit(req.Isolation)
	if req.Isolation == ReadCommitted {
		res.Aborted = []AbortedTxn{}
	}
	if req.From >= limit || req.MaxBytes <= 0 && !req.MinOne {
		return res, nil
	}
	return p.readBelow(ctx, req, limit, res)
}

func outOfRange(at, start, next base.Offset) *kerr.Error {
	return kerr.Errorf(kerr.OffsetOutOfRange, "offset %d is not in [%d, %d]", at, start, next)
}

// watermarks returns the bounds for a reader, and why there is nothing to read, if so.
func (p *Partition) watermarks() (res ReadResult, next base.Offset, refusal *kerr.Error) {
	start := p.opt.Data.Start()
	p.mu.Lock()
	defer p.mu.Unlock()
	res = ReadResult{HW: p.mu.hw, LSO: max(start, p.mu.lso), LogStart: start}
	if p.mu.ended {
		refusal = p.mu.refusal
	}
	if seeded.Bug(seeded.HWPastDurable) {
		res.HW = p.mu.next
	}
	return res, p.mu.next, refusal
}

// checkEpoch compares the leader epoch a client believes in with this one's.
func (p *Partition) checkEpoch(epoch int32) *kerr.Error {
	switch own := int32(p.opt.Epoch); {
	case epoch == NoEpoch || epoch == own:
		return nil
	case epoch < own:
		return kerr.Errorf(kerr.FencedLeaderEpoch, "leader epoch is %d, the request has %d", own, epoch)
	default:
		return kerr.Errorf(kerr.UnknownLeaderEpoch, "leader epoch is %d, the request has %d", own, epoch)
	}
}

// readBelow reads from the data stream up to limit.
//
// The list of aborted transactions is taken after the bytes, for it must know every transaction in them. If it lost entries meanwhile (their
// records were deleted, or compacted away), the bytes may hold what it no longer tells, and are read again.
func (p *Partition) readBelow(ctx context.Context, req ReadRequest, limit base.Offset, res ReadResult) (ReadResult, error) {
	for {
		pruned := p.prunedAborted(req.Isolation)
		chunk, err := p.readChunk(ctx, req, limit)
		switch {
		case err == ErrCold:
			return res, err
		case err != nil:
			// Below the start after all: it was trimmed since watermarks looked.
			if res.LogStart = p.opt.Data.Start(); base.IsKind(err, base.OutOfRange) && req.From < res.LogStart {
				return res, outOfRange(req.From, res.LogStart, res.HW)
			}
			return res, p.readFailed(req.From, err)
		case chunk == nil: // no batch fits into what may be returned: Kafka tells of no transactions then, rather than of none that were aborted
			res.Aborted = nil
			return res, nil
		}
		if req.Isolation == ReadCommitted && !p.listAborted(&res, req.From, chunk.End, pruned) {
			chunk.Release()
			continue
		}
		p.load.read(chunk.Bytes)
		res.Chunk = chunk
		return res, nil
	}
}

// readChunk reads what is there, nil if there is nothing.
func (p *Partition) readChunk(ctx context.Context, req ReadRequest, limit base.Offset) (chunk *stream.Chunk, err error) {
	if req.CachedOnly {
		var ok bool
		if chunk, ok, err = p.opt.Data.TryReadCached(req.From, limit, req.MaxBytes, req.MinOne); err == nil && !ok {
			return nil, ErrCold
		}
	} else {
		chunk, err = p.opt.Data.Read(ctx, req.From, limit, req.MaxBytes, req.MinOne)
	}
	if err == nil && chunk != nil && chunk.Bytes == 0 {
		chunk.Release()
		chunk = nil
	}
	return chunk, err
}

func (p *Partition) prunedAborted(i Isolation) uint64 {
	if i != ReadCommitted {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.producers.pruned
}

// listAborted lists the aborted transactions in [from, to); false if the list lost entries since pruned was read.
func (p *Partition) listAborted(res *ReadResult, from, to base.Offset, pruned uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.producers.pruned != pruned {
		return false
	}
	res.Aborted = append(res.Aborted[:0], p.mu.producers.abortedIn(from, to)...)
	return true
}

// readFailed reports what people have to know of the failure of a read from an offset, and gives it its code.
func (p *Partition) readFailed(at base.Offset, err error) *kerr.Error {
	p.reportUnreadable(at, err)
	return readError(err)
}

// readError gives an error of the storage the code that makes a client try again.
func readError(err error) *kerr.Error {
	code := kerr.KafkaStorageError
	switch base.KindOf(err) {
	case base.Fenced, base.Closed, base.NotFound:
		code = kerr.NotLeaderOrFollower
	case base.Corrupt:
		code = kerr.CorruptMessage
	}
	return &kerr.Error{Code: code, Message: err.Error()}
}

// diverging finds out whether the client has fetched, under req.LastEpoch, what this log does not have.
func (p *Partition) diverging(req ReadRequest, hw base.Offset) (*EpochOffset, *kerr.Error) {
	end := p.endOf(req.LastEpoch, hw)
	switch {
	case end.Epoch < 0:
		return nil, kerr.Errorf(kerr.OffsetOutOfRange, "leader epoch %d of the last fetch is not known", req.LastEpoch)
	case end.Epoch < req.LastEpoch || end.End < req.From:
		return &end, nil
	default:
		return nil, nil
	}
}

// EpochEnd answers OffsetForLeaderEpoch: the largest epoch up to epoch that is known, and where it ends. The present epoch ends at HW;
// everything acknowledged lies below that. The error is a *kerr.Error.
func (p *Partition) EpochEnd(currentEpoch, epoch int32) (EpochOffset, error) {
	res, _, refusal := p.watermarks()
	if refusal == nil {
		refusal = p.checkEpoch(currentEpoch)
	}
	if refusal != nil {
		return EpochOffset{-1, -1}, refusal
	}
	return p.endOf(epoch, res.HW), nil
}

func (p *Partition) endOf(epoch int32, hw base.Offset) EpochOffset {
	own, starts := int32(p.opt.Epoch), p.opt.EpochStarts
	if epoch == own {
		return EpochOffset{own, hw}
	}
	if epoch == NoEpoch || epoch > own || len(starts) == 0 {
		return EpochOffset{-1, -1}
	}
	floor := epoch // as Kafka has it for epochs older than the oldest known
	for _, s := range starts {
		if int32(s.Epoch) > epoch {
			return EpochOffset{floor, min(s.Start, hw)}
		}
		floor = int32(s.Epoch)
	}
	return EpochOffset{floor, hw}
}

// epochAt is the epoch under which offset was or will be written.
func (p *Partition) epochAt(at base.Offset) int32 {
	epoch := int32(p.opt.Epoch)
	for i := len(p.opt.EpochStarts) - 1; i >= 0; i-- {
		if epoch = int32(p.opt.EpochStarts[i].Epoch); p.opt.EpochStarts[i].Start <= at {
			break
		}
	}
	return epoch
}
