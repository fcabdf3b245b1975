package cluster

import (
	"maps"
	"net/url"
	"testing"
	"time"

	"sluice/test/history"
	"sluice/test/s3fault"
	"sluice/test/s3test"
)

// proxied starts an S3 server with a proxy before it and returns the bucket's URL at the proxy.
func proxied(t *testing.T, seed uint64) (*s3fault.Proxy, string) {
	t.Helper()
	bucket := s3test.Start(t)
	u, err := url.Parse(bucket)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	p := s3fault.Start(t, q.Get("endpoint"), seed)
	q.Set("endpoint", p.URL)
	u.RawQuery = q.Encode()
	return p, u.String()
}

// TestThrottling has the bucket refuse all requests for longer than a session, and then every other moment. Brokers hear each other
// without it: nobody is fenced, nothing is lost.
func TestThrottling(t *testing.T) {
	for _, class := range walClasses {
		t.Run(class.name, func(t *testing.T) {
			proxy, bucket := proxied(t, newSeed(t))
			p := class.at(t.TempDir())
			p.bucket = bucket
			w := newWorld(t, p, brokers(t), 9)
			w.load(2)
			w.awaitServed("start")
			before := w.view()
			if before == nil {
				t.Fatal("no broker describes the cluster")
			}
			proxy.SetUnavailable(true)
			time.Sleep(2 * session)
			proxy.SetUnavailable(false)
			w.awaitServed("an outage of the bucket")
			for range 15 {
				proxy.SetUnavailable(true)
				w.random(50*time.Millisecond, 250*time.Millisecond)
				proxy.SetUnavailable(false)
				w.random(20*time.Millisecond, 100*time.Millisecond)
			}
			if proxy.Refused() > 0 {
				w.rec.Fault("throttled")
			}
			w.awaitServed("throttling")
			w.settle()
			switch after := w.view(); {
			case after == nil:
				t.Error("no broker describes the cluster")
			case !maps.Equal(epochs(before), epochs(after)):
				t.Errorf("the bucket was away and brokers were fenced: epochs %v, now %v", epochs(before), epochs(after))
			case before.Controller != after.Controller:
				t.Logf("the bucket was away and the controller changed from %+v to %+v", before.Controller, after.Controller)
			}
			t.Logf("%d requests were refused", proxy.Refused())
			w.judge(history.Want{Faults: []string{"throttled"}, Acknowledged: 100})
		})
	}
}

// TestLostAnswers lets puts succeed and loses the answers, under load and kills.
func TestLostAnswers(t *testing.T) {
	for _, class := range walClasses {
		t.Run(class.name, func(t *testing.T) {
			proxy, bucket := proxied(t, newSeed(t))
			p := class.at(t.TempDir())
			p.bucket = bucket
			w := newWorld(t, p, brokers(t), 9)
			w.load(2)
			w.moves()
			proxy.LoseAnswers(0.2)
			for range 1 + rounds(t)/6 {
				w.random(time.Second, 2*time.Second)
				victim := w.controllerOrAny()
				w.kill(victim)
				w.awaitServed("kill -9 of the controller while answers are lost")
				w.heal()
			}
			proxy.LoseAnswers(0)
			if proxy.Lost() > 0 {
				w.rec.Fault("lost answer")
			}
			w.settle()
			w.judge(history.Want{Faults: []string{"lost answer", "kill"}, Acknowledged: 100})
		})
	}
}
