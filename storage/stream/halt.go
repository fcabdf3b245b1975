package stream

import "sluice/base"

// A WAL that fails takes nothing more, and nothing is ever written to it again. What it holds and the bucket does not is needed all the same, and the
// engine has it: a block is in the WAL cache before its records are acknowledged, and the cache forgets nothing above the trim. So the engine
// of a failed WAL goes on as one to which nobody appends any more, and never reads what it would have to trust the disk for:
//
//	durable        what was acknowledged. It is read, uploaded and committed as ever
//	next > durable what the WAL had taken and not made durable. All of it was refused, and nobody saw it, so a stream of such an engine ends at
//	               durable: there it is closed or handed over. The WAL may hold some of it; it is read only by a rescue that finds the stream
//	               still open there, which is before it has ended here
//
// Halt makes the engine one of that kind. The caller has the streams move to another WAL, then closes this one.

// Halt has the engine take no more appends, because its WAL has failed with err. What is durable is uploaded at once, and read until the engine
// is closed.
func (e *Engine) Halt(err error) {
	e.halted.Store(&err)
	e.gate.fail(err)
	e.streams.RLock()
	for _, s := range e.streams.byID {
		s.refuse(err)
	}
	e.streams.RUnlock()
	e.OnFull()     // there is nothing to wait for
	e.share.wake() // what was in flight needs no memory any more
}

// refusal returns why streams of the engine cannot be appended to, nil if they can.
func (e *Engine) refusal() error {
	if err := e.halted.Load(); err != nil {
		return *err
	}
	return e.failure()
}

// end is where the stream ends once nothing is under way.
func (s *Stream) end() base.Offset {
	if s.e.halted.Load() != nil {
		return s.Durable()
	}
	return s.Next()
}
