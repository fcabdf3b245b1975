package kafka

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"sluice/base/bulk"
)

const (
	smallBytes   = 2 << 10   // shorter pieces are copied together
	scratchBytes = 32 << 10  // room for them
	batchBytes   = 1 << 20   // a write takes responses until it has so many bytes
	sliceBytes   = 256 << 10 // and what it takes is handed to the kernel so much at a time, so that others get their turn at the core
	keptPieces   = 4 << 10   // a longer list of pieces is not kept
)

// batch is what one write takes, and the memory that is kept from write to write.
type batch struct {
	requests []*Request
	pieces   net.Buffers
	scratch  []byte // copies of small pieces; never grown, because pieces refer to it
	bytes    int
}

var batches = sync.Pool{New: func() any { return &batch{scratch: make([]byte, 0, scratchBytes)} }}

// writeLoop writes finished responses until the next one in order is unfinished.
func (c *conn) writeLoop() {
	b := batches.Get().(*batch)
	defer batches.Put(b)
	for c.takeFinished(b) {
		if err := c.write(b); err != nil {
			reason := reasonNetwork
			if errors.Is(err, os.ErrDeadlineExceeded) {
				reason = reasonStalled
			}
			c.close(reason, "cannot write a response: "+err.Error())
		}
		c.written(b)
	}
}

// takeFinished moves the finished head of the queue into b. It reports false, and ends the role of the writer, if there is none.
func (c *conn) takeFinished(b *batch) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := 0
	for taken < len(c.mu.queue) && c.mu.queue[taken].done && b.bytes < batchBytes {
		b.add(c.mu.queue[taken])
		taken++
	}
	n := copy(c.mu.queue, c.mu.queue[taken:])
	clear(c.mu.queue[n:])
	c.mu.queue = c.mu.queue[:n]
	c.mu.writing = taken > 0
	return taken > 0
}

func (b *batch) add(r *Request) {
	b.requests = append(b.requests, r)
	if !r.hasReply() {
		return
	}
	b.piece(r.head())
	for _, s := range r.reply.Segments {
		b.piece(s)
	}
}

// piece adds s, copied next to the piece before if both are small.
func (b *batch) piece(s []byte) {
	b.bytes += len(s)
	free := cap(b.scratch) - len(b.scratch)
	if len(s) == 0 {
		return
	}
	if len(s) >= smallBytes || len(s) > free {
		b.pieces = append(b.pieces, s)
		return
	}
	from := len(b.scratch)
	b.scratch = append(b.scratch, s...)
	if n := len(b.pieces); n > 0 && from > 0 {
		last := b.pieces[n-1]
		if len(last) <= from && &last[0] == &b.scratch[from-len(last)] {
			b.pieces[n-1] = b.scratch[from-len(last) : len(b.scratch)]
			return
		}
	}
	b.pieces = append(b.pieces, b.scratch[from:])
}

// write puts b on the wire. A slow client is fine as long as every megabyte gets through within the stall timeout.
func (c *conn) write(b *batch) error {
	c.mu.Lock()
	closed := c.mu.closed
	c.mu.Unlock()
	if closed {
		return nil
	}
	for all := b.pieces; len(all) > 0; {
		var part net.Buffers
		part, all = slice(all)
		c.nc.SetWriteDeadline(time.Now().Add(c.srv.opt.StallTimeout * time.Duration(1+len(part[0])/batchBytes)))
		if err := c.writePart(part); err != nil {
			return err
		}
		if len(all) > 0 {
			runtime.Gosched()
		}
	}
	c.srv.metrics.bytesOut.Add(float64(b.bytes))
	return nil
}

// writePart writes what slice has taken. Much of it to a plain socket takes a turn among all bulk work.
func (c *conn) writePart(part net.Buffers) error {
	bytes := 0
	for _, p := range part {
		bytes += len(p)
	}
	if bytes >= bulk.Bytes && c.poller != nil {
		return writeBulk(c.nc, c.poller, part)
	}
	_, err := part.WriteTo(c.nc)
	return err
}

// slice takes pieces of about sliceBytes off all; a large piece is divided. It changes all.
func slice(all net.Buffers) (part, rest net.Buffers) {
	if first := all[0]; len(first) > 2*sliceBytes {
		all[0] = first[sliceBytes:]
		return net.Buffers{first[:sliceBytes]}, all
	}
	n, bytes := 1, len(all[0])
	for n < len(all) && bytes+len(all[n]) <= sliceBytes {
		bytes += len(all[n])
		n++
	}
	return all[:n], all[n:]
}

// written gives back what b held and lets the reader go on.
func (c *conn) written(b *batch) {
	now := time.Now()
	for _, r := range b.requests {
		r.reply.release()
		r.reply = Reply{}
		c.srv.answers.remove(r)
		if r.hasReply() && r.Key != TokenKey {
			c.srv.metrics.observe(r.Key, now.Sub(r.Received).Seconds())
		}
	}
	c.srv.metrics.inFlight.Sub(float64(len(b.requests)))
	c.mu.Lock()
	c.mu.inFlight -= len(b.requests)
	c.mu.Unlock()
	c.mu.moved.Broadcast()
	clear(b.requests)
	clear(b.pieces[:cap(b.pieces)])
	b.requests, b.pieces, b.scratch, b.bytes = b.requests[:0], b.pieces[:0], b.scratch[:0], 0
	if cap(b.pieces) > keptPieces {
		b.pieces = nil
	}
}
