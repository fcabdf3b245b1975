package cost

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// quiet is how long a cluster needs to come to rest: ids that were prepared and not used expire after an hour and are deleted, then sweeps for orphans find nothing
// twice, here once an hour.
const quiet = 5 * time.Hour

// TestAnIdleClusterAsksOnlyWhoIsTheController: when all is quiet nothing is asked of the bucket, but that the controller looks
// every third of a session (6 s) whether it has been replaced: 1,800 GETs an hour, of one broker or of three. While clients are connected, and poll, it is the same.
func TestAnIdleClusterAsksOnlyWhoIsTheController(t *testing.T) {
	for _, c := range []struct {
		brokers int
		class   string
	}{{1, "s3"}, {1, "file"}, {3, "s3"}} {
		t.Run(fmt.Sprint(c.brokers, " brokers, ", c.class), func(t *testing.T) {
			run(t, c.brokers, settings(t, c.class, "256MiB", "sweep-interval=1h"), func(w *world) {
				cl := w.client(kgo.ProducerLinger(0))
				w.createTopic(cl, "t", 100)
				w.produce(cl, load{"t", 100, 1000, 100_000}, 0, 5*time.Minute)
				consumer := w.client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))
				polled := make(chan struct{})
				go func() {
					defer close(polled)
					for !consumer.PollFetches(w.t.Context()).IsClientClosed() {
					}
				}()
				time.Sleep(quiet)
				before := w.counted()
				time.Sleep(time.Hour)
				p := w.counted().Since(before)
				consumer.Close()
				cl.Close()
				<-polled
				got := lines(p)
				t.Logf("requests in an hour: %v", got)
				if n := got["metadata get"]; n != got["total"] || n < 1795 || n > 1801 {
					t.Errorf("requests in an idle hour: %v; want about 1,800 of metadata get and nothing else", got)
				}
			})
		})
	}
}
