package kafka

import (
	"io"
	"net"
	"runtime"
	"testing"
)

// TestIdleConnectionsAreSmall: a connection that waits for its client has no buffer, whether or not it ever asked for anything.
func TestIdleConnectionsAreSmall(t *testing.T) {
	const connections, most = 400, 8 << 10 // both ends of each are in this process
	f := start(t, Options{Handler: handlerFunc(func(r *Request) { r.Reply(Reply{Segments: [][]byte{r.Body}}) })})
	heap := func() int64 {
		for range 3 { // pools are emptied in the second
			runtime.GC()
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	open := func(n int) {
		for i := range n {
			nc, err := net.Dial("tcp", f.ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { nc.Close() })
			// In two pieces, and two requests at once: a buffer is kept for as long as it holds something.
			b := append(frame(3, 1, []byte("one")), frame(3, 2, []byte("two"))...)
			for _, part := range [][]byte{b[:7+i%20], b[7+i%20:]} {
				if _, err := nc.Write(part); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := io.ReadFull(nc, make([]byte, 2*(8+3))); err != nil {
				t.Fatal(err)
			}
		}
	}
	open(10)
	before := heap()
	open(connections)
	if each := (heap() - before) / connections; each > most {
		t.Errorf("a connection that waits takes %d bytes", each)
	} else {
		t.Logf("a connection that waits takes %d bytes", each)
	}
}
