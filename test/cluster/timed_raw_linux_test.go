package cluster

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"sluice/edge/admin"
	"sluice/test/clients"
)

// rawReader fetches at the ends of partitions as fast as it can, and looks at what the answers say of the high watermark and the last stable
// offset. Of each partition one fetch is under way at a time, so that what one answer said holds for the next.
type rawReader struct {
	r       *timed
	readers []*clients.Reader
}

// marks are the highest watermarks that somebody was told of a partition.
type marks struct {
	hw, lso int64
}

// rawTopics are the topics that are watched: one without transactions, one with them.
var rawTopics = []string{"chaos", clients.CopiesTopic}

func startRaw(r *timed) *rawReader {
	w := &rawReader{r: r}
	for _, topic := range rawTopics {
		client, err := kgo.NewClient(r.Options(kgo.MaxVersions(kversion.V2_8_0()), kgo.RetryTimeout(time.Second))...) // before fetches by topic id
		if err != nil {
			r.t.Fatal(err)
		}
		w.readers = append(w.readers, clients.Go(func(ctx context.Context) {
			defer client.Close()
			w.watch(ctx, client, topic)
		}))
	}
	return w
}

func (w *rawReader) halt() {
	for _, r := range w.readers {
		r.Halt()
	}
}

// watch goes round the partitions of a topic, with each isolation level in turn.
func (w *rawReader) watch(ctx context.Context, client *kgo.Client, topic string) {
	seen := map[int32]*marks{}
	for n := 0; ctx.Err() == nil; n++ {
		leaders, err := w.leaders(ctx, client, topic)
		if err != nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		for began := time.Now(); time.Since(began) < time.Second && ctx.Err() == nil; {
			for p, leader := range leaders {
				if seen[p] == nil {
					seen[p] = &marks{}
				}
				once, cancel := context.WithTimeout(ctx, 2*time.Second)
				if !w.fetch(once, client.Broker(int(leader)), topic, p, int8(n%2), seen[p]) {
					began = time.Time{} // who leads has changed
				}
				cancel()
			}
		}
	}
}

func (w *rawReader) leaders(ctx context.Context, client *kgo.Client, topic string) (map[int32]int32, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	m, err := kadm.NewClient(client).Metadata(ctx, topic)
	if err != nil {
		return nil, err
	}
	leaders := map[int32]int32{}
	for _, p := range m.Topics[topic].Partitions {
		if p.Err == nil && p.Leader >= 0 {
			leaders[p.Partition] = p.Leader
		}
	}
	return leaders, nil
}

// fetch asks for what follows the high watermark that was told, and judges the answer. It reports whether there was one.
func (w *rawReader) fetch(ctx context.Context, at *kgo.Broker, topic string, partition int32, isolation int8, seen *marks) bool {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel, req.SessionEpoch = 10, 1, 64<<10, isolation, -1
	t, p := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	t.Topic, p.Partition, p.PartitionMaxBytes, p.FetchOffset = topic, partition, 64<<10, seen.hw
	if isolation == 1 {
		p.FetchOffset = seen.lso
	}
	t.Partitions = []kmsg.FetchRequestTopicPartition{p}
	req.Topics = []kmsg.FetchRequestTopic{t}
	res, err := at.Request(ctx, req)
	if err != nil {
		return false
	}
	f, ok := res.(*kmsg.FetchResponse)
	if !ok || len(f.Topics) != 1 || len(f.Topics[0].Partitions) != 1 {
		return false
	}
	got := f.Topics[0].Partitions[0]
	where := fmt.Sprintf("%s-%d, isolation %d", topic, partition, isolation)
	g := w.r.guarantee("G7")
	if got.ErrorCode != 0 {
		if got.ErrorCode == kerr.OffsetOutOfRange.Code {
			w.r.wrongf(g, "%s: offset %d is out of range, and was a watermark before", where, p.FetchOffset)
		}
		return false
	}
	if got.HighWatermark < seen.hw || got.LastStableOffset < seen.lso {
		w.r.wrongf(g, "%s: HW %d and LSO %d, before they were %d and %d", where, got.HighWatermark, got.LastStableOffset, seen.hw, seen.lso)
	}
	if got.LastStableOffset > got.HighWatermark {
		w.r.wrongf(g, "%s: LSO %d above HW %d", where, got.LastStableOffset, got.HighWatermark)
	}
	bound := got.HighWatermark
	if isolation == 1 {
		bound = got.LastStableOffset
	}
	batches := int64(0)
	for b := got.RecordBatches; len(b) >= 61; batches++ {
		last := int64(binary.BigEndian.Uint64(b)) + int64(binary.BigEndian.Uint32(b[23:]))
		if last >= bound {
			w.r.wrongf(g, "%s: a batch up to offset %d, and the bound is %d", where, last, bound)
		}
		size := 12 + int(binary.BigEndian.Uint32(b[8:]))
		if size > len(b) {
			break
		}
		b = b[size:]
	}
	seen.hw, seen.lso = max(seen.hw, got.HighWatermark), max(seen.lso, got.LastStableOffset)
	w.r.tl.Count("raw reader", "fetches", 1)
	w.r.tl.Count("raw reader", "batches", batches)
	return true
}

// images compares what all brokers say of the cluster: at one position of the metadata log they must say the same.
type images struct {
	r       *timed
	readers []*clients.Reader

	mu       sync.Mutex
	at       map[string]uint64 // hash, by position
	compared int64
}

func startImages(r *timed) *images {
	c := &images{r: r, at: map[string]uint64{}}
	for _, n := range r.nodes {
		c.readers = append(c.readers, clients.Go(func(ctx context.Context) {
			for ctx.Err() == nil {
				if v, err := n.describe(); err == nil {
					c.compare(n.name, v)
				}
				select {
				case <-time.After(100 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		}))
	}
	return c
}

func (c *images) halt() {
	for _, r := range c.readers {
		r.Halt()
	}
}

func (c *images) compare(who string, v *admin.ClusterView) {
	v.AnsweredBy = 0
	text, err := json.Marshal(v)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	h := fnv.New64a()
	_, _ = bytes.NewReader(text).WriteTo(h)
	c.mu.Lock()
	defer c.mu.Unlock()
	pos := fmt.Sprint(v.Position)
	switch was, ok := c.at[pos]; {
	case !ok:
		c.at[pos] = h.Sum64()
	case was != h.Sum64():
		c.r.wrongf(c.r.guarantee("G12"), "at position %s of the metadata log %s describes another cluster than somebody before: %.300s", pos, who, text)
	default:
		c.compared++
	}
}
