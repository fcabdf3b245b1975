package cluster

import (
	"io"
	"net"
	"net/url"
	"strconv"
	"testing"
	"time"

	"sluice/edge/admin"
	"sluice/test/history"
	"sluice/test/s3test"
)

// forward passes connections at 10.0.0.1 on to an S3 server at the loopback address, as they are, and returns the bucket's URL there.
func forward(t *testing.T, bucket string) string {
	t.Helper()
	u, err := url.Parse(bucket)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	target, err := url.Parse(q.Get("endpoint"))
	if err != nil {
		t.Fatal(err)
	}
	at := net.JoinHostPort("10.0.0.1", strconv.Itoa(bucketPort))
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", target.Host)
			if err != nil {
				from.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1])
					pair[0].Close()
					pair[1].Close()
				}()
			}
		}
	}()
	q.Set("endpoint", "http://"+at)
	u.RawQuery = q.Encode()
	return u.String()
}

// TestPartitions cuts brokers off from clients, from each other and from the bucket, wholly, by role and in one direction only.
func TestPartitions(t *testing.T) {
	if _, err := s3test.Binary(t.Context()); err != nil { // while there is a network
		t.Fatal(err)
	}
	for _, class := range walClasses {
		t.Run(class.name, func(t *testing.T) {
			if !ownNetwork(t, 0) { // a process for each: the clients of a run that fails would go on in the next one
				return
			}
			nw := build(t, brokers(t))
			nw.checkCuts()
			p := class.at(t.TempDir())
			p.bucket, p.host = forward(t, s3test.Start(t)), nw.place
			w := newWorld(t, p, brokers(t), 9)
			w.load(2)
			var deck []int
			for range (rounds(t) + 1) / 2 { // they take longer than other rounds
				if len(deck) == 0 {
					deck = w.rnd.Perm(len(cuts))
				}
				c := cuts[deck[0]]
				deck = deck[1:]
				w.random(300*time.Millisecond, time.Second)
				victim := w.controllerOrAny()
				if w.rnd.IntN(2) == 0 {
					victim = w.in(up)[0]
				}
				w.cutOff(nw, victim, c)
			}
			w.settle()
			w.judge(history.Want{Faults: []string{"cut"}, Acknowledged: 100})
		})
	}
}

// cutOff does one round: a cut at a broker for longer than a session, then all is mended.
func (w *world) cutOff(nw *network, victim *node, c cut) {
	w.t.Helper()
	what := "lost at " + victim.name + ": " + c.name
	if w.controller() == victim {
		what += " (the controller)"
	}
	for i, n := range w.nodes {
		if n == victim {
			nw.apply(i, c)
		}
	}
	w.rec.Fault("cut")
	if c.served {
		victim.state = paused // it is not to be asked
		w.random(2*session, 3*session)
		w.await(what+": the others describe everything as served", func(v *admin.ClusterView) bool { return v.Unavailable == 0 })
		w.awaitServed(what)
		victim.state = up
	} else {
		w.random(session/2, 3*session)
	}
	nw.mend()
	w.awaitServed("mended, after " + what)
	w.awaitHealthy()
}
