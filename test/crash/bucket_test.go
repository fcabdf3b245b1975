package crash

import (
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"sluice/test/broker"
	"sluice/test/history"
	"sluice/test/s3fault"
	"sluice/test/s3test"
)

// outage is how long the bucket is away: SLUICE_CRASH_OUTAGE, a duration; default 8 s.
func outage(t testing.TB) time.Duration {
	s := os.Getenv("SLUICE_CRASH_OUTAGE")
	if s == "" {
		return 8 * time.Second
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("SLUICE_CRASH_OUTAGE is %q, want a duration such as 60s", s)
	}
	return d
}

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

var walClasses = map[string][]string{"file": nil, "s3": {"wal-s3-puts-per-second=50"}}

func walFlag(class string) string {
	if class == "s3" {
		return "s3"
	}
	return "" // in the data directory, given below
}

// bucketWorld is a world on an S3 server behind a proxy.
func bucketWorld(t *testing.T, class string) (*world, *s3fault.Proxy) {
	t.Helper()
	proxy, bucket := proxied(t, newSeed(t))
	dir := t.TempDir()
	opt := broker.Options{Dir: dir, Bucket: bucket, WAL: walFlag(class), Args: quick(walClasses[class]...)}
	if class == "file" {
		opt.WAL = "file://" + dir + "/wal"
	}
	return newWorld(t, opt, 4), proxy
}

// TestOutage has the bucket answer 503 for a while. A file WAL goes on acknowledging; afterwards all recovers by itself.
func TestOutage(t *testing.T) {
	for class := range walClasses {
		t.Run(class+" WAL", func(t *testing.T) {
			t.Parallel() // most of it is waiting
			w, proxy := bucketWorld(t, class)
			w.load(2)
			time.Sleep(time.Second)
			proxy.SetUnavailable(true)
			before, _, _ := w.rec.Counts()
			time.Sleep(outage(t))
			during, _, _ := w.rec.Counts()
			proxy.SetUnavailable(false)
			if proxy.Refused() > 0 {
				w.rec.Fault("outage")
			}
			if class == "file" && during < before+100 {
				t.Errorf("a file WAL acknowledged %d records while the bucket was away", during-before)
			}
			time.Sleep(2 * time.Second)
			w.settle()
			w.judge(history.Want{Faults: []string{"outage"}, Acknowledged: 100})
		})
	}
}

// TestLostAnswers lets puts succeed and loses the answers, under load and kills.
func TestLostAnswers(t *testing.T) {
	for class := range walClasses {
		t.Run(class+" WAL", func(t *testing.T) {
			t.Parallel() // most of it is waiting
			w, proxy := bucketWorld(t, class)
			w.load(2)
			proxy.LoseAnswers(0.3)
			for range max(2, rounds(t)/4) {
				w.random(time.Second, 2*time.Second)
				w.kill()
				w.restart()
			}
			time.Sleep(time.Second)
			proxy.LoseAnswers(0)
			if proxy.Lost() > 0 {
				w.rec.Fault("lost answer")
			}
			w.settle()
			w.judge(history.Want{Faults: []string{"lost answer", "kill"}, Acknowledged: 100})
		})
	}
}

// TestEmptyDataDirectory starts a broker that knows nothing but the bucket, after an orderly end and after a crash.
func TestEmptyDataDirectory(t *testing.T) {
	for _, end := range []string{"stop", "kill"} {
		t.Run("after "+end, func(t *testing.T) {
			bucket := s3test.Start(t)
			w := newWorld(t, broker.Options{Bucket: bucket, WAL: "s3", Args: quick("wal-s3-puts-per-second=50")}, 4)
			w.load(2)
			w.random(time.Second, 2*time.Second)
			w.quiesce()
			if end == "stop" {
				w.stop()
			} else {
				w.kill()
			}
			w.moveTo(broker.Options{Bucket: bucket, WAL: "s3", Args: quick("wal-s3-puts-per-second=50")})
			w.addProducer()
			w.random(300*time.Millisecond, 600*time.Millisecond)
			w.settle()
			w.judge(history.Want{Faults: []string{end}, Acknowledged: 100})
			if strings.Contains(w.broker.Log(), "panic:") {
				t.Error("the broker panicked")
			}
		})
	}
}
