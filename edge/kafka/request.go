package kafka

import (
	"context"
	"encoding/binary"
	"net"
	"time"

	"sluice/base/slab"
)

// ProduceKey is the API key whose requests are pipelined and whose frames live in recycled memory.
const ProduceKey = 0

// Handler is what gives requests a meaning.
type Handler interface {
	// Handle starts r. It runs on the connection's reader goroutine, so requests of one connection arrive in order, and while
	// it blocks the connection is not read. It must see to it that r is finished exactly once, now or later, on any goroutine.
	// For Produce, r.Body is valid only until Handle returns, unless r.Buf is retained; otherwise it is the handler's to keep.
	Handle(r *Request)
}

// Request is one request of a client.
type Request struct {
	Key           int16
	Version       int16
	CorrelationID int32
	Body          []byte    // what follows the first eight bytes (key, version, correlation id)
	Buf           *slab.Buf // what Body lies in, for Produce; nil otherwise
	Received      time.Time // when the last byte had arrived

	conn    *conn
	reply   Reply
	done    bool
	replied bool
	unread  int64   // bytes of the answer that answers counts
	prefix  [8]byte // size and correlation id of the response; of a token's, the size in the second half
}

// Reply is the response to a request: what follows the correlation id, in pieces.
type Reply struct {
	Segments [][]byte
	Release  func() // called once when the segments are not needed any more; may be nil
}

func (r Reply) release() {
	if r.Release != nil {
		r.Release()
	}
}

func (r Reply) size() int {
	n := 0
	for _, s := range r.Segments {
		n += len(s)
	}
	return n
}

// Context ends when the connection is closed.
func (r *Request) Context() context.Context { return r.conn.ctx }

// RemoteAddr is the client's address.
func (r *Request) RemoteAddr() net.Addr { return r.conn.nc.RemoteAddr() }

// Listener is the name that was given to Serve.
func (r *Request) Listener() string { return r.conn.listener }

// ConnID numbers the connections of a server.
func (r *Request) ConnID() uint64 { return r.conn.id }

// SetSoftware keeps what the client says of itself, for the later requests of its connection.
func (r *Request) SetSoftware(name, version string) { r.conn.software.Store(&[2]string{name, version}) }

// Software is what the client said of itself; empty if it did not.
func (r *Request) Software() (name, version string) {
	if s := r.conn.software.Load(); s != nil {
		return s[0], s[1]
	}
	return "", ""
}

// Reply finishes the request with a response, which is written when its turn comes. It does not block.
func (r *Request) Reply(reply Reply) {
	if r.Key == TokenKey {
		binary.BigEndian.PutUint32(r.prefix[4:], uint32(reply.size()))
		r.replied = true
		r.conn.finish(r, reply)
		return
	}
	r.replied = true
	size := reply.size()
	if reply.Release == nil {
		r.conn.srv.answers.add(r, int64(size))
	}
	binary.BigEndian.PutUint32(r.prefix[:], uint32(4+size))
	binary.BigEndian.PutUint32(r.prefix[4:], uint32(r.CorrelationID))
	r.conn.finish(r, reply)
}

// NoReply finishes a request that has no response.
func (r *Request) NoReply() { r.conn.finish(r, Reply{}) }

// Abort finishes the request by closing its connection, for the stated reason.
func (r *Request) Abort(reason string) {
	r.conn.close(reasonAborted, reason)
	r.conn.finish(r, Reply{})
}

// Throttle sees to it that no further request of the connection starts before d has passed (KIP-219): the client has been told to wait, and not all
// clients do. It is called before the request is finished, or before Handle returns.
func (r *Request) Throttle(d time.Duration) {
	if d > 0 {
		r.conn.mute(d)
	}
}

// hasReply reports whether something is to be written.
func (r *Request) hasReply() bool { return r.replied }

// head is what goes before the segments of the reply.
func (r *Request) head() []byte {
	if r.Key == TokenKey {
		return r.prefix[4:]
	}
	return r.prefix[:]
}
