package parity

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
	errClosed   = errors.New("the broker closed the connection")
)

// answerMax is how long an answer may take.
const answerMax = 15 * time.Second

// conn is a connection that says what it is told to. Answers come in the order of the requests.
type conn struct {
	nc   net.Conn
	r    *bufio.Reader
	last int32 // correlation id
}

func dial(addr string) (*conn, error) {
	nc, err := net.DialTimeout("tcp", addr, answerMax)
	if err != nil {
		return nil, err
	}
	return &conn{nc: nc, r: bufio.NewReader(nc)}, nil
}

func (c *conn) close() { c.nc.Close() }

// pending is a request that has been sent.
type pending struct {
	c       *conn
	key     int16
	version int16
	id      int32
}

// send sends a request.
func (c *conn) send(version int16, req msg.Message) (*pending, error) {
	return c.sendBytes(req.APIKey(), version, req.Append(nil, version))
}

// sendBytes sends a request whose body may be anything.
func (c *conn) sendBytes(key, version int16, body []byte) (*pending, error) {
	client := "parity"
	c.last++
	h := msg.RequestHeader{APIKey: key, Version: version, CorrelationID: c.last, ClientID: &client}
	frame := append(h.Append(make([]byte, 4)), body...)
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	if _, err := c.nc.Write(frame); err != nil {
		return nil, errClosed
	}
	return &pending{c, key, version, c.last}, nil
}

// await reads the answer to p.
func (p *pending) await(within time.Duration) (msg.Message, error) {
	body, err := p.awaitBytes(within)
	if err != nil {
		return nil, err
	}
	r := kbin.NewReader(body)
	if p.key != msg.KeyApiVersions && msg.IsFlexible(p.key, p.version) {
		r.Tags(nil)
	}
	m := msg.NewResponse(p.key)
	m.Decode(&r, p.version)
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("the answer to %s %d does not parse: %w", msg.Name(p.key), p.version, err)
	}
	if r.Len() > 0 {
		return nil, fmt.Errorf("%d bytes follow the answer to %s %d", r.Len(), msg.Name(p.key), p.version)
	}
	return m, nil
}

// awaitBytes reads what stands behind the correlation id.
func (p *pending) awaitBytes(within time.Duration) ([]byte, error) {
	_ = p.c.nc.SetReadDeadline(time.Now().Add(within))
	var head [8]byte
	if _, err := io.ReadFull(p.c.r, head[:]); err != nil {
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			return nil, fmt.Errorf("no answer within %v", within)
		}
		return nil, errClosed
	}
	if id := int32(binary.BigEndian.Uint32(head[4:])); id != p.id {
		return nil, fmt.Errorf("the answer has correlation id %d, the request %d", id, p.id)
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	if _, err := io.ReadFull(p.c.r, body); err != nil {
		return nil, errClosed
	}
	return body, nil
}

func (c *conn) ask(version int16, req msg.Message) (msg.Message, error) {
	p, err := c.send(version, req)
	if err != nil {
		return nil, err
	}
	return p.await(answerMax)
}
