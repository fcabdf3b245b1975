package node

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/cluster/meta"
	"sluice/storage/object"
	"sluice/storage/objstore"
)

// logLines collects what brokers log.
type logLines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logLines) with(all ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		has := true
		for _, s := range all {
			has = has && strings.Contains(line, s)
		}
		if has {
			found = append(found, line)
		}
	}
	return found
}

// An object is lost, or damaged, behind everybody's back. Clients that read it get an error again and again; the log says it once, with everything that is
// needed to go on, and what lies before it is read as ever.
func TestLostObjectIsReported(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{true, false} {
		t.Run(map[bool]string{true: "lost", false: "damaged"}[lost], func(t *testing.T) {
			log := new(logLines)
			c := newCluster(t, "upload-interval=1h", "compaction-interval=1h")
			c.log = log
			c.start()
			c.createTopic("hurt", 1)
			for i := range 3 {
				c.produce(c.client(kgo.ProducerBatchCompression(kgo.NoCompression())), "hurt", i*100, 100)
				if err := c.node.volumes.open[0].engine.Flush(c.ctx()); err != nil {
					t.Fatal(err)
				}
			}
			c.stop() // nothing is left in memory
			c.start()
			img := c.node.member.Image()
			topic, _ := img.TopicByName("hurt")
			p, _ := img.Partition(topic.ID, 0)
			s, _ := img.Stream(p.Data)
			var of meta.Range
			for r := range s.EachRange() {
				if r.Start == 100 {
					of = r
				}
			}
			key := object.Key(img.ClusterID(), of.Object)
			body, err := c.store.Get(c.ctx(), key, 0, -1, nil)
			if err == nil {
				err = c.store.Delete(c.ctx(), key)
			}
			if err == nil && !lost {
				body[bytes.Index(body, []byte("value-000150"))] ^= 1
				err = c.store.Put(c.ctx(), key, [][]byte{body}, objstore.PutOptions{})
			}
			if err != nil {
				t.Fatal(err)
			}
			cl := c.client(append(reader("hurt"), kgo.KeepRetryableFetchErrors())...)
			errors, records := 0, 0
			for errors < 2 {
				fetches := cl.PollFetches(c.ctx())
				fetches.EachError(func(topic string, _ int32, err error) {
					if topic != "hurt" || context.Cause(c.ctx()) != nil || !strings.Contains(err.Error(), "CORRUPT_MESSAGE") {
						t.Fatalf("%s: %v", topic, err)
					}
					errors++
				})
				records += fetches.NumRecords()
			}
			if records != 100 {
				t.Errorf("%d records were read", records)
			}
			said := log.with("level=ERROR", "sluice verify", "topic=hurt", "partition=0", "offset=100", "first=100", "end=200", of.Object.String())
			if all := log.with("level=ERROR"); len(said) != 1 || len(all) != 1 {
				t.Fatalf("it was said %d times: %q", len(said), all)
			}
		})
	}
}
