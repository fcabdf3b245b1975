package peer

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/base"
)

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// cutConn is a connection that breaks after so many bytes in either direction.
type cutConn struct {
	net.Conn
	left atomic.Int64
}

func (c *cutConn) spend(p []byte) []byte {
	left := c.left.Add(-int64(len(p)))
	if left >= 0 {
		return p
	}
	return p[:max(0, int64(len(p))+left)]
}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), 512)])
	if may := len(c.spend(p[:n])); may < n {
		c.Conn.Close()
		return may, net.ErrClosed
	}
	return n, err
}

func (c *cutConn) Write(p []byte) (int, error) {
	may := c.spend(p)
	n, err := c.Conn.Write(may)
	if err == nil && n < len(p) {
		c.Conn.Close()
		err = net.ErrClosed
	}
	return n, err
}

// TestWhatAnErrorPromises is the contract of Call: with connections that break anywhere, callers that give up at any time, and handlers that
// fail, an answer means executed once, Unavailable means never, and nothing is executed twice.
func TestWhatAnErrorPromises(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const calls, callers = 4000, 16
	var executed [calls]atomic.Int32
	s, addr := serve(t, ServerOptions{Handlers: map[Method]Handler{
		echo: func(ctx context.Context, body []byte) ([]byte, error) {
			n := binary.BigEndian.Uint32(body)
			executed[n].Add(1)
			if n%5 == 0 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return body, nil
		},
	}})
	var connections atomic.Int64
	c := client(t, ClientOptions{
		limits: limits{backoffMin: time.Nanosecond, backoffMax: time.Nanosecond},
		Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
			if err != nil {
				return nil, err
			}
			r := rand.New(rand.NewPCG(seed, uint64(connections.Add(1))))
			cut := &cutConn{Conn: nc}
			cut.left.Store(r.Int64N(20_000))
			return cut, nil
		},
	})
	var outcomes [calls]error
	var next atomic.Int64
	var all sync.WaitGroup
	for w := range callers {
		r := rand.New(rand.NewPCG(seed, uint64(w)<<32))
		all.Go(func() {
			for n := next.Add(1) - 1; n < calls; n = next.Add(1) - 1 {
				outcomes[n] = oneCall(t, c, addr, uint32(n), r)
			}
		})
	}
	all.Wait()
	c.Close()
	s.Close() // waits for handlers, so the counts are final
	tally := map[string]int{}
	for n := range calls {
		times, err := executed[n].Load(), outcomes[n]
		switch {
		case times > 1:
			t.Errorf("call %d was executed %d times: %v", n, times, err)
		case err == nil && times != 1:
			t.Errorf("call %d was answered and executed %d times", n, times)
		case base.IsKind(err, base.Unavailable) && times != 0:
			t.Errorf("call %d was executed, and reported as Unavailable: %v", n, err)
		case err != nil && !base.IsKind(err, base.Unavailable) && !base.IsKind(err, base.Undetermined):
			t.Errorf("call %d: %v of kind %v", n, err, base.KindOf(err))
		}
		key := "ok"
		if err != nil {
			key = base.KindOf(err).String()
		}
		tally[fmt.Sprintf("%s, executed %d times", key, times)]++
	}
	t.Logf("%d connections; %v", connections.Load(), tally)
	for _, must := range []string{"ok, executed 1 times", "unavailable, executed 0 times", "undetermined, executed 1 times"} {
		if tally[must] == 0 {
			t.Errorf("no call was %s: the test shows nothing", must)
		}
	}
}

// oneCall makes call n, gives it up at some time or other, and checks the answer.
func oneCall(t *testing.T, c *Client, addr string, n uint32, r *rand.Rand) error {
	body := append(binary.BigEndian.AppendUint32(nil, n), make([]byte, r.IntN(300))...)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if n%5 == 0 || r.IntN(4) == 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(3_000))*time.Microsecond)
		defer cancel()
	}
	answer, err := c.Call(ctx, addr, echo, body)
	clear(body) // what Call was given is the caller's again
	if err == nil && (len(answer) < 4 || binary.BigEndian.Uint32(answer) != n) {
		t.Errorf("call %d was answered with %x", n, answer)
	}
	return err
}

// TestManyCalls: calls of all sizes by many goroutines over one connection, beside long polls that are given up all the time.
func TestManyCalls(t *testing.T) {
	_, addr := serve(t, ServerOptions{})
	c := client(t, ClientOptions{})
	stop := make(chan struct{})
	var polls, all sync.WaitGroup
	for range 8 {
		polls.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				c.Call(ctx, addr, block, make([]byte, 100))
				cancel()
			}
		})
	}
	for w := range 16 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for range 100 {
				body := make([]byte, 1<<r.IntN(18))
				for i := 0; i < len(body); i += 1 + len(body)/16 {
					body[i] = byte(r.Uint32())
				}
				answer, err := c.Call(testContext(t), addr, echo, body)
				if err != nil || !bytes.Equal(answer, body) {
					t.Errorf("%d bytes: got %d, %v", len(body), len(answer), err)
					return
				}
			}
		})
	}
	all.Wait()
	close(stop)
	polls.Wait()
	c.mu.Lock()
	conn := c.mu.targets[addr].conn
	c.mu.Unlock()
	conn.mu.Lock()
	defer conn.mu.Unlock()
	if len(conn.mu.calls) != 0 {
		t.Errorf("%d calls are remembered after the last one", len(conn.mu.calls))
	}
}
