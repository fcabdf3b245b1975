package hostile

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"sluice/wire/kbin"
	"sluice/wire/msg"
)

// dial connects from an address of this machine.
func dial(ctx context.Context, from, to string) (net.Conn, error) {
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	nc, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return nil, err
	}
	return nc, nc.SetDeadline(time.Now().Add(patience))
}

// frame is a request as it goes over the wire.
func frame(version int16, m msg.Message) []byte {
	return rawFrame(m.APIKey(), version, m.Append(nil, version))
}

// rawFrame is a request with any body.
func rawFrame(key, version int16, body []byte) []byte {
	b := make([]byte, 4, 32+len(body))
	b = kbin.AppendInt32(kbin.AppendInt16(kbin.AppendInt16(b, key), version), 7)
	b = kbin.AppendString(b, false, "c")
	if msg.IsFlexible(key, version) {
		b = append(b, 0)
	}
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// declared is a request that says it has size bytes and has only n zeros.
func declared(key, version int16, size, n int) []byte {
	b := rawFrame(key, version, make([]byte, n))
	binary.BigEndian.PutUint32(b, uint32(size))
	return b
}

// ask sends a request and reads the answer.
func ask(nc net.Conn, version int16, req, resp msg.Message) error {
	if _, err := nc.Write(frame(version, req)); err != nil {
		return err
	}
	return answer(nc, version, resp)
}

func answer(nc net.Conn, version int16, resp msg.Message) error {
	var size [4]byte
	if _, err := io.ReadFull(nc, size[:]); err != nil {
		return err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(nc, b); err != nil {
		return err
	}
	r := kbin.NewReader(b[4:])
	if msg.IsFlexible(resp.APIKey(), version) && resp.APIKey() != msg.KeyApiVersions {
		r.Tags(nil)
	}
	resp.Decode(&r, version)
	return r.Err()
}

// closed waits until the broker has closed the connection, and returns how many bytes came before.
func closed(nc net.Conn, within time.Duration) (int64, error) {
	nc.SetReadDeadline(time.Now().Add(within))
	n, err := io.Copy(io.Discard, nc)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		return n, fmt.Errorf("still open after %v", within)
	}
	return n, nil
}
