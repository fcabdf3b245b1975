package slotlog

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"sluice/base"
	"sluice/storage/objstore"
)

// probesInFlight bounds how many slots a sealer looks at at a time.
const probesInFlight = 32

// Seal ends the epoch: it walks from slot from, which must be known not to be trimmed, puts the seal into the first empty slot
// and returns its position, the number of data slots of the epoch. An epoch that is sealed already keeps its seal. It tries
// until ctx ends; an error says nothing about whether the epoch is sealed, except that after Corrupt, which names a slot that no
// writer of this log put there, it is not by this call.
func (l Log) Seal(ctx context.Context, epoch, from uint64, s Seal) (end uint64, err error) {
	io := sealIO{Log: l, epoch: epoch, nonce: base.NewUUID(), seal: s}
	m := sealMachine{slot: from}
	var cause error
	for attempt := 1; m.next != sealEnd; {
		if err := ctx.Err(); err != nil {
			return 0, base.Errorf(base.Unavailable, "seal %s: at slot %d: %w", l.EpochPrefix(epoch), m.slot, errors.Join(err, cause))
		}
		var e sealEvent
		var err error
		switch m.next {
		case sealProbe:
			e, err = io.probe(ctx, m.slot)
		case sealPut:
			e, err = io.put(ctx, m.slot)
		case sealPause:
			sleep(ctx, pause(attempt, defaultRetryMin, defaultRetryMax))
			attempt++
			e = sealPassed
		}
		switch {
		case e == sealUnknown && base.KindOf(err) != base.Unavailable && base.KindOf(err) != base.Undetermined:
			return 0, fmt.Errorf("seal %s: at slot %d: %w", l.EpochPrefix(epoch), m.slot, err)
		case e == sealUnknown:
			cause = err
		case e != sealPassed:
			attempt = 1
		}
		m.report(e)
	}
	return m.slot, nil
}

// sealIO does the I/O of a sealer and says what came of it. It looks at slots ahead of the walk; what it saw full stays full, and
// what it saw empty is only tried.
type sealIO struct {
	Log
	epoch uint64
	nonce base.UUID
	seal  Seal

	ahead     []probed // results for the slots from aheadFrom on
	aheadFrom uint64
	width     int // of the next look ahead; doubles while slots are full
}

type probed struct {
	event sealEvent
	err   error
}

// probe says what the slot holds. A result from looking ahead is used once; asked again about a slot, it looks again.
func (io *sealIO) probe(ctx context.Context, slot uint64) (sealEvent, error) {
	if len(io.ahead) == 0 || slot != io.aheadFrom {
		io.lookAhead(ctx, slot)
	}
	p := io.ahead[0]
	io.ahead = io.ahead[1:]
	io.aheadFrom++
	if p.event != slotData {
		io.ahead, io.width = nil, 0
	}
	return p.event, p.err
}

func (io *sealIO) lookAhead(ctx context.Context, slot uint64) {
	io.width = min(max(2*io.width, 1), probesInFlight)
	io.ahead, io.aheadFrom = make([]probed, io.width), slot
	var wg sync.WaitGroup
	for i := range io.ahead {
		wg.Go(func() {
			e, err := io.look(ctx, slot+uint64(i))
			io.ahead[i] = probed{e, err}
		})
	}
	wg.Wait()
}

func (io *sealIO) look(ctx context.Context, slot uint64) (sealEvent, error) {
	ctx, cancel := context.WithTimeout(ctx, defaultPutTimeout)
	defer cancel()
	h, err := io.Store.Get(ctx, io.Key(io.epoch, slot), 0, int64(io.headerLen()), nil)
	switch {
	case base.IsKind(err, base.NotFound):
		return slotEmpty, nil
	case base.IsKind(err, base.OutOfRange):
		err = base.Errorf(base.Corrupt, "slot %s: too short for a slot", io.Key(io.epoch, slot))
	}
	if err != nil {
		return sealUnknown, err
	}
	p, err := io.parseHeader(io.epoch, slot, h)
	switch {
	case err != nil:
		return sealUnknown, err
	case p.kind == kindSeal:
		return slotSeal, nil
	default:
		return slotData, nil
	}
}

func (io *sealIO) put(ctx context.Context, slot uint64) (sealEvent, error) {
	ctx, cancel := context.WithTimeout(ctx, defaultPutTimeout)
	defer cancel()
	body := [][]byte{nil, appendSeal(nil, io.seal)}
	h, err := io.header(kindSeal, io.epoch, slot, io.nonce, 0, body)
	if err != nil {
		return sealUnknown, err
	}
	body[0] = h
	err = io.Store.Put(ctx, io.Key(io.epoch, slot), body, objstore.PutOptions{IfAbsent: true})
	switch {
	case err == nil:
		return sealStored, nil
	case base.KindOf(err) == base.Exists:
		return sealTaken, nil
	default:
		return sealUnknown, err
	}
}
