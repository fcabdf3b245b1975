package kafka

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
)

// onePipe is a listener that accepts one connection.
type onePipe struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *onePipe) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *onePipe) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *onePipe) Addr() net.Addr { return &net.TCPAddr{} }

const fuzzFrameMax = 40 << 10

// framesIn is what a connection is to hand out of what it reads.
func framesIn(in []byte) (frames [][]byte) {
	for len(in) >= 4 {
		size := int(int32(binary.BigEndian.Uint32(in)))
		if size < headerBytes || size > fuzzFrameMax || len(in) < 4+size {
			break
		}
		frames = append(frames, in[4:4+size])
		in = in[4+size:]
	}
	return frames
}

// FuzzConnection: whatever a client sends, in pieces of whatever size, the handler gets the frames that are whole, up to the first that makes no sense, and
// the connection ends; with a login to come and without, while there is little memory.
func FuzzConnection(f *testing.F) {
	f.Add(frame(3, 1, []byte("body")), 3, false)
	f.Add(append(frame(ProduceKey, 1, make([]byte, 20_000)), frame(18, 2, nil)...), 5000, true)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), 1, false)
	f.Add([]byte{0x16, 3, 1, 0, 5}, 2, true)
	f.Add(append(frame(0, 1, nil), 0xff, 0xff, 0xff, 0xff), 100, false)
	f.Add(begun(1, 30_000, 10), 7, false)
	f.Fuzz(func(t *testing.T, in []byte, piece int, guest bool) {
		if len(in) > 1<<17 {
			return
		}
		var got [][]byte
		handler := handlerFunc(func(r *Request) {
			b := binary.BigEndian.AppendUint16(nil, uint16(r.Key))
			b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, uint16(r.Version)), uint32(r.CorrelationID))
			got = append(got, append(b, r.Body...))
			r.Reply(Reply{})
		})
		s := New(Options{Handler: handler, MaxFrame: fuzzFrameMax, RequestMemory: 32 << 10, Listeners: map[string]Listener{"l": {Login: guest}}})
		ln := &onePipe{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
		ours, theirs := net.Pipe()
		ln.conns <- theirs
		served := make(chan error, 1)
		go func() { served <- s.Serve("l", ln) }()
		want := framesIn(in)
		answered, drained := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(drained)
			_, _ = io.CopyN(io.Discard, ours, int64(8*len(want))) // or the connection ends
			close(answered)
			_, _ = io.Copy(io.Discard, ours)
		}()
		for part := range slices.Chunk(in, max(1, min(piece, 1<<16))) {
			if _, err := ours.Write(part); err != nil {
				break // the server closed it
			}
		}
		<-answered
		ours.Close()
		<-drained
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-served; err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("%d frames handed out, %d were sent", len(got), len(want))
		}
	})
}
