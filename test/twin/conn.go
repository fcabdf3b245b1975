package twin

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"sluice/wire/kbin"
	"sluice/wire/msg"
)

var (
	errNotReady = errors.New("not ready yet")

	// ErrClosed says that there was no answer, and there will be none.
	ErrClosed = errors.New("the broker closed the connection")
)

// AnswerMax is how long an answer may take.
const AnswerMax = 15 * time.Second

// Conn is a connection that says what it is told to. Answers come in the order of the requests.
type Conn struct {
	nc   net.Conn
	r    *bufio.Reader
	last int32 // correlation id
}

// Dial connects to a broker.
func Dial(addr string) (*Conn, error) {
	nc, err := net.DialTimeout("tcp", addr, AnswerMax)
	if err != nil {
		return nil, err
	}
	return &Conn{nc: nc, r: bufio.NewReader(nc)}, nil
}

// Close closes the connection.
func (c *Conn) Close() { c.nc.Close() }

// Pending is a request that has been sent.
type Pending struct {
	c       *Conn
	Key     int16
	Version int16
	id      int32
}

// Send sends a request.
func (c *Conn) Send(version int16, req msg.Message) (*Pending, error) {
	return c.SendBytes(req.APIKey(), version, req.Append(nil, version))
}

// SendBytes sends a request whose body may be anything.
func (c *Conn) SendBytes(key, version int16, body []byte) (*Pending, error) {
	client := "parity"
	c.last++
	h := msg.RequestHeader{APIKey: key, Version: version, CorrelationID: c.last, ClientID: &client}
	frame := append(h.Append(make([]byte, 4)), body...)
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	if _, err := c.nc.Write(frame); err != nil {
		return nil, ErrClosed
	}
	return &Pending{c, key, version, c.last}, nil
}

// Await reads the answer to p.
func (p *Pending) Await(within time.Duration) (msg.Message, error) {
	body, err := p.AwaitBytes(within)
	if err != nil {
		return nil, err
	}
	r := kbin.NewReader(body)
	if p.Key != msg.KeyApiVersions && msg.IsFlexible(p.Key, p.Version) {
		r.Tags(nil)
	}
	m := msg.NewResponse(p.Key)
	m.Decode(&r, p.Version)
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("the answer to %s %d does not parse: %w", msg.Name(p.Key), p.Version, err)
	}
	if r.Len() > 0 {
		return nil, fmt.Errorf("%d bytes follow the answer to %s %d", r.Len(), msg.Name(p.Key), p.Version)
	}
	return m, nil
}

// AwaitBytes reads what stands behind the correlation id.
func (p *Pending) AwaitBytes(within time.Duration) ([]byte, error) {
	_ = p.c.nc.SetReadDeadline(time.Now().Add(within))
	var head [8]byte
	if _, err := io.ReadFull(p.c.r, head[:]); err != nil {
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			return nil, fmt.Errorf("no answer within %v", within)
		}
		return nil, ErrClosed
	}
	if id := int32(binary.BigEndian.Uint32(head[4:])); id != p.id {
		return nil, fmt.Errorf("the answer has correlation id %d, the request %d", id, p.id)
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	if _, err := io.ReadFull(p.c.r, body); err != nil {
		return nil, ErrClosed
	}
	return body, nil
}

// Ask sends a request and waits for its answer.
func (c *Conn) Ask(version int16, req msg.Message) (msg.Message, error) {
	p, err := c.Send(version, req)
	if err != nil {
		return nil, err
	}
	return p.Await(AnswerMax)
}
