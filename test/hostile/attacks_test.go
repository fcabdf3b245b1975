package hostile

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"sluice/wire/msg"
)

// attack is something that is done to the broker until the context ends. What it returns is what went otherwise than it must.
type attack struct {
	name string
	run  func(ctx context.Context, v *victim, size int) error
}

// connectionAttacks are those that need no valid request. Their size is a number of connections.
var connectionAttacks = []attack{
	{"half frames, a byte at a time", slowlorisPlain},
	{"half logins, a byte at a time", slowlorisLogin},
	{"connects, and nothing else", connectStorm},
	{"more connections than its address may have", tooMany},
	{"TLS handshakes", handshakes},
	{"TLS handshakes that stop half-way", halfHandshakes},
	{"100 MB announced, 20 kB sent", announced},
	{"512 kB announced before a login", announcedLogin},
	{"requests before a login", beforeLogin},
	{"noise", noise},
}

// swarm runs n attackers until the context ends. An attacker is called again when it returns nil; an error ends the attack.
func swarm(ctx context.Context, n int, attacker func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() {
			for ctx.Err() == nil {
				if err := attacker(ctx, i); err != nil && ctx.Err() == nil {
					cancel(fmt.Errorf("attacker %d: %w", i, err))
				}
			}
		})
	}
	running.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// breath is how long a slow attacker waits between two bytes.
const breath = 50 * time.Millisecond

// rest waits for a moment; false when the attack is over.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// connect dials as an attacker. Attackers may be refused and cut off: that is no error of theirs.
func connect(ctx context.Context, from, to string) net.Conn {
	nc, err := dial(ctx, from, to)
	if err != nil {
		rest(ctx, breath)
		return nil
	}
	return nc
}

// drip sends b byte by byte for as long as it is listened to.
func drip(ctx context.Context, nc net.Conn, b []byte) {
	for i := range b {
		if _, err := nc.Write(b[i : i+1]); err != nil || !rest(ctx, breath) {
			return
		}
	}
}

func slowlorisPlain(ctx context.Context, v *victim, size int) error {
	return swarm(ctx, size, func(ctx context.Context, i int) error {
		if nc := connect(ctx, attackerIP, v.plain); nc != nil {
			defer nc.Close()
			drip(ctx, nc, declared([]int16{msg.KeyProduce, msg.KeyFetch, msg.KeyMetadata}[i%3], 9, 1<<20, 1<<10))
		}
		return nil
	})
}

func slowlorisLogin(ctx context.Context, v *victim, size int) error {
	return swarm(ctx, size, func(ctx context.Context, i int) error {
		nc := connect(ctx, attackerIP, v.login)
		if nc == nil {
			return nil
		}
		defer nc.Close()
		var hello msg.SaslHandshakeResponse
		if err := ask(nc, 1, &msg.SaslHandshakeRequest{Mechanism: "SCRAM-SHA-256"}, &hello); err != nil || hello.ErrorCode != 0 {
			return fmt.Errorf("handshake: %w, code %d", err, hello.ErrorCode)
		}
		drip(ctx, nc, declared(msg.KeySaslAuthenticate, 2, 100<<10, 1<<10))
		return nil
	})
}

func connectStorm(ctx context.Context, v *victim, size int) error {
	return swarm(ctx, min(size, 32), func(ctx context.Context, i int) error {
		if nc := connect(ctx, attackerIP, []string{v.plain, v.login, v.tls}[i%3]); nc != nil {
			nc.(*net.TCPConn).SetLinger(0) // or this machine runs out of ports
			nc.Close()
		}
		return nil
	})
}

// tooMany: of the connections of an address only as many stay as it may have.
func tooMany(ctx context.Context, v *victim, size int) error {
	var mu sync.Mutex
	served := map[int]bool{}
	return swarm(ctx, size, func(ctx context.Context, i int) error {
		nc := connect(ctx, limitedIP, v.plain)
		if nc == nil {
			return nil
		}
		defer nc.Close()
		var resp msg.ApiVersionsResponse
		if ask(nc, 0, &msg.ApiVersionsRequest{}, &resp) != nil {
			rest(ctx, breath)
			return nil
		}
		mu.Lock()
		served[i] = true
		n := len(served)
		mu.Unlock()
		if n > limitedTo {
			return fmt.Errorf("%d connections of an address that may have %d", n, limitedTo)
		}
		<-ctx.Done()
		return nil
	})
}

func handshakes(ctx context.Context, v *victim, size int) error {
	return swarm(ctx, min(size, 16), func(ctx context.Context, i int) error {
		if nc := connect(ctx, attackerIP, v.tls); nc != nil {
			nc.(*net.TCPConn).SetLinger(0)
			defer nc.Close()
			_ = tls.Client(nc, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx) // an attacker is not told off for being cut off
		}
		return nil
	})
}

// clientHello is the first half of what begins a TLS connection.
func clientHello() []byte {
	ours, theirs := net.Pipe()
	go func() {
		_ = tls.Client(ours, &tls.Config{InsecureSkipVerify: true}).Handshake()
	}()
	b := make([]byte, 4096)
	n, _ := theirs.Read(b)
	theirs.Close()
	ours.Close()
	return b[:n/2]
}

func halfHandshakes(ctx context.Context, v *victim, size int) error {
	half := clientHello()
	return swarm(ctx, size, func(ctx context.Context, i int) error {
		if nc := connect(ctx, attackerIP, v.tls); nc != nil {
			defer nc.Close()
			if _, err := nc.Write(half); err == nil {
				<-ctx.Done()
			}
		}
		return nil
	})
}

func announced(ctx context.Context, v *victim, size int) error {
	return swarm(ctx, size, func(ctx context.Context, i int) error {
		if nc := connect(ctx, attackerIP, v.plain); nc != nil {
			defer nc.Close()
			if _, err := nc.Write(declared([]int16{msg.KeyProduce, msg.KeyFetch, msg.KeyMetadata, msg.KeyHeartbeat}[i%4], 3, requestMiB<<20, 20_000)); err == nil {
				waitForEnd(ctx, nc)
			}
		}
		return nil
	})
}

func announcedLogin(ctx context.Context, v *victim, size int) error {
	return swarm(ctx, size, func(ctx context.Context, i int) error {
		if nc := connect(ctx, attackerIP, v.login); nc != nil {
			defer nc.Close()
			if _, err := nc.Write(declared([]int16{msg.KeyApiVersions, msg.KeySaslAuthenticate}[i%2], 2, 512<<10, 20_000)); err == nil {
				waitForEnd(ctx, nc)
			}
		}
		return nil
	})
}

// waitForEnd waits until the broker closes the connection, or the attack is over.
func waitForEnd(ctx context.Context, nc net.Conn) {
	stop := context.AfterFunc(ctx, func() { nc.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var b [1]byte
	_, _ = nc.Read(b[:]) // either is the end
}

// beforeLogin: whatever is asked before a login ends the connection without an answer, and so does a frame above 512 KiB.
func beforeLogin(ctx context.Context, v *victim, size int) error {
	requests := [][]byte{declared(msg.KeySaslAuthenticate, 2, 512<<10+1, 100)}
	for _, a := range msg.APIs {
		if a.Key != msg.KeyApiVersions && a.Key != msg.KeySaslHandshake && a.Key != msg.KeySaslAuthenticate {
			requests = append(requests, rawFrame(a.Key, a.Max, make([]byte, 64)))
		}
	}
	return swarm(ctx, min(size, 16), func(ctx context.Context, i int) error {
		for n := range requests {
			nc := connect(ctx, attackerIP, v.login)
			if nc == nil {
				return nil
			}
			request := requests[(n+i)%len(requests)]
			if _, err := nc.Write(request); err == nil {
				if n, err := closed(nc, patience); err != nil || n != 0 {
					nc.Close()
					return fmt.Errorf("request %x before a login: %d bytes of answer, %w", request[:8], n, err)
				}
			}
			nc.Close()
			if ctx.Err() != nil {
				return nil
			}
		}
		return nil
	})
}

// noise sends what is no Kafka at all to all listeners.
func noise(ctx context.Context, v *victim, size int) error {
	lines := [][]byte{[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, {0, 0, 0, 0, 0, 0}, make([]byte, 1<<16), clientHello(), {0x7f, 0xff, 0xff, 0xff}}
	return swarm(ctx, min(size, 16), func(ctx context.Context, i int) error {
		for n, line := range lines {
			if nc := connect(ctx, attackerIP, []string{v.plain, v.login, v.tls}[(i+n)%3]); nc != nil {
				nc.(*net.TCPConn).SetLinger(0)
				_, _ = nc.Write(line) // it may be cut off at any byte
				nc.Close()
			}
		}
		return nil
	})
}
