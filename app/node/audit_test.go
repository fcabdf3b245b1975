package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/cluster/audit"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/storage/compact"
	"sluice/storage/object"
	"sluice/storage/objstore"
	"sluice/storage/objstore/fault"
	"sluice/storage/stream"
	"sluice/storage/wal/s3"
)

// clock is the wall clock of the controllers of a test; it can be put forward, so that everything becomes old.
type clock struct{ ahead atomic.Int64 }

func (k *clock) now() time.Time { return time.Now().Add(time.Duration(k.ahead.Load())) }

// TestBucketEqualsReferences: brokers under load, with retention, deleted topics, compaction of objects and of keys, moves, crashes and a store that loses
// answers and does puts late. When it is over and everything has had its grace, the bucket holds exactly what the metadata needs.
func TestBucketEqualsReferences(t *testing.T) {
	t.Parallel()
	for _, brokers := range []int{1, 3} {
		t.Run(fmt.Sprintf("brokers=%d", brokers), func(t *testing.T) {
			k := new(clock)
			c := newCluster(t, append(clusterSettings(t, "s3"), "sweep-interval=200ms", "log.retention.check.interval.ms=200", "upload-interval=50ms", "num.partitions=4",
				"compaction-interval=1h", "log.cleaner.backoff.ms=50")...)
			inner := c.store
			store := fault.New(inner, 1)
			c.store, c.now = store, k.now
			nodes := []*Node{c.start()}
			for len(nodes) < brokers {
				nodes = append(nodes, c.another())
			}
			store.SetRules( // each of them once for certain
				fault.Rule{Name: "lost", Op: fault.Put, Skip: 10, Times: 1, Effect: fault.LoseAnswer},
				fault.Rule{Name: "late", Op: fault.Put, Skip: 20, Times: 1, Effect: fault.Late},
				fault.Rule{Name: "refused", Skip: 30, Times: 1, Effect: fault.Refuse},
				fault.Rule{Name: "lost", Op: fault.Put, Prob: 0.03, Effect: fault.LoseAnswer},
				fault.Rule{Name: "late", Op: fault.Put, Prob: 0.03, Effect: fault.Late},
				fault.Rule{Name: "refused", Prob: 0.02, Effect: fault.Refuse},
			)
			nodes = strain(t, c, nodes)
			store.SetRules()
			for store.Deliver(t.Context(), 100) == 100 {
			}
			if store.Fired("lost") == 0 || store.Fired("late") == 0 || store.Fired("refused") == 0 {
				t.Fatal("the store behaved")
			}
			compactAll(t, c, nodes)
			rest(t, c, inner, nodes[0], k)
			newest(t, c.readCompacted("table", 4))
		})
	}
}

// strain works the cluster, and returns the brokers that are left.
func strain(t *testing.T, c *cluster, nodes []*Node) []*Node {
	admin := kadm.NewClient(c.at(nodes[0]))
	producer := c.at(nodes[0], kgo.ProducerBatchMaxBytes(20_000))
	compacted := map[string]string{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.ms": "1", "delete.retention.ms": "1"}
	c.createAt(producer, "table", 4, compacted)
	c.createAt(producer, "large", 1, nil)
	for round := range 4 {
		dying := fmt.Sprintf("table-gone-%d", round)
		c.createAt(producer, dying, 4, compacted)
		for _, topic := range []string{"table", dying} {
			c.update(producer, topic, round)
		}
		c.enlarge(producer, "large")
		for _, n := range nodes { // what fails here is done again
			compactForced(c.ctx(), n)
		}
		if _, err := admin.DeleteTopic(c.ctx(), dying); err != nil {
			t.Fatal(err)
		}
		for _, topic := range []string{"kept", fmt.Sprintf("gone-%d", round)} {
			if round == 0 || topic != "kept" {
				c.createAt(producer, topic, 4, map[string]string{"retention.bytes": "20000"})
			}
			c.produce(producer, topic, 1000*round, 500)
		}
		if _, err := admin.DeleteTopic(c.ctx(), fmt.Sprintf("gone-%d", round)); err != nil {
			t.Fatal(err)
		}
		if len(nodes) > 1 {
			move(t, nodes, round)
		}
		switch {
		case len(nodes) > 2 && round == 1:
			last := len(nodes) - 1
			crash(nodes[last])
			nodes = nodes[:last]
		case len(nodes) == 1 && round%2 == 1:
			c.crash()
			nodes[0] = c.start()
			producer = c.at(nodes[0], kgo.ProducerBatchMaxBytes(20_000))
			admin = kadm.NewClient(c.at(nodes[0]))
		}
		c.produce(producer, "kept", 1000*round+500, 500)
	}
	return nodes
}

// tableKeys is how many keys compacted topics have; of every third one the last record is a tombstone.
const tableKeys = 30

// update writes every key of a compacted topic some times. The values name the round.
func (c *cluster) update(cl *kgo.Client, topic string, round int) {
	c.t.Helper()
	for i := range 10 * tableKeys {
		r := &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "key-%02d", i%tableKeys), Value: fmt.Appendf(nil, "value-%d-%d", round, i/tableKeys)}
		if i >= 9*tableKeys && i%3 == 0 {
			r.Value = nil
		}
		cl.Produce(c.ctx(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				c.t.Error(err)
			}
		})
	}
	if err := cl.Flush(c.ctx()); err != nil {
		c.t.Fatal(err)
	}
}

// enlarge writes 400 KiB to a topic, piece by piece.
func (c *cluster) enlarge(cl *kgo.Client, topic string) {
	c.t.Helper()
	value := make([]byte, 10<<10)
	for range 40 {
		rand.Read(value)
		if err := cl.ProduceSync(c.ctx(), &kgo.Record{Topic: topic, Value: value}).FirstErr(); err != nil {
			c.t.Fatal(err)
		}
	}
}

// newest checks what is left of a compacted topic: the last value of every key.
func newest(t *testing.T, got map[string][]*kgo.Record) {
	for i := range tableKeys {
		key := fmt.Sprintf("key-%02d", i)
		switch records := got[key]; {
		case i%3 == 0 && len(records) <= 1 && (len(records) == 0 || records[0].Value == nil):
		case i%3 != 0 && len(records) == 1 && string(records[0].Value) == "value-3-9":
		default:
			t.Errorf("%s has %d records", key, len(records))
		}
	}
}

// compactForced runs a round for which everything is old, and little is much: parts of streams leave the objects they share with others, and small objects
// become larger ones.
func compactForced(ctx context.Context, n *Node) (compact.Report, error) {
	self := stream.NodeRef(n.self)
	w := compact.Start(compact.Options{
		Cluster: n.member.Image().ClusterID(), Node: self, Store: n.store, Catalog: control.NewCompactCatalog(n.member, self), Pool: &n.pool,
		Interval: -1, SplitAge: time.Nanosecond, SplitBytes: 16 << 10, SOBytes: 16 << 10, ObjectBytes: 1 << 20, MemoryBytes: 8 << 20,
	})
	defer w.Close()
	return w.Round(ctx)
}

// compactAll has everything compacted that is to be, on all brokers: keys, and then objects until no round finds anything to do.
func compactAll(t *testing.T, c *cluster, nodes []*Node) {
	topic, _ := nodes[0].member.Image().TopicByName("table")
	until(t, nodes[0], "the table is compacted", func(img *meta.Image) bool {
		for p := range img.PartitionsOf(topic.ID) {
			if s, ok := img.Stream(p.Data); !ok || s.CommittedEnd == 0 || s.CleanedTo != s.CommittedEnd {
				return false
			}
		}
		return true
	})
	for again := true; again; {
		again = false
		for _, n := range nodes {
			rep, err := compactForced(c.ctx(), n)
			if err != nil {
				t.Fatal(err)
			}
			again = again || rep.Replaced+rep.Failed+rep.Left > 0
		}
	}
	img := nodes[0].member.Image()
	large, _ := img.TopicByName("large")
	p, _ := img.Partition(large.ID, 0)
	s, _ := img.Stream(p.Data)
	split := 0 // bytes in objects of their own
	for r := range s.EachRange() {
		if o, ok := img.Object(r.Object); ok && o.Kind == meta.SO {
			split += int(r.Bytes)
		}
	}
	if s.Ranges() > 8 || split < 512<<10 {
		t.Fatalf("%d bytes written piece by piece lie in %d ranges; %d of them in objects of their own", s.Bytes, s.Ranges(), split)
	}
}

func (c *cluster) createAt(cl *kgo.Client, name string, partitions int32, configs map[string]string) {
	c.t.Helper()
	set := map[string]*string{}
	for k, v := range configs {
		set[k] = &v
	}
	if _, err := kadm.NewClient(cl).CreateTopic(c.ctx(), partitions, 1, set, name); err != nil {
		c.t.Fatal(err)
	}
}

// move wishes every partition to another broker.
func move(t *testing.T, nodes []*Node, round int) {
	img := nodes[0].member.Image()
	cmd := &meta.MovePartitions{}
	topic, _ := img.TopicByName("kept")
	for p := range img.PartitionsOf(topic.ID) {
		to := nodes[(int(p.Index)+round)%len(nodes)].self.ID
		cmd.Partitions = append(cmd.Partitions, meta.PartitionLeader{Partition: meta.PartitionID{Topic: topic.ID, Index: p.Index}, Leader: to})
	}
	if _, err := nodes[0].member.Submit(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
}

// rest waits until the bucket holds what is needed and nothing else, then verifies all of it.
func rest(t *testing.T, c *cluster, store objstore.Store, n *Node, k *clock) {
	deadline := time.Now().Add(60 * time.Second)
	var err error
	for i := 0; time.Now().Before(deadline); i++ {
		if i%50 == 0 {
			k.ahead.Add(int64(2 * time.Hour)) // for what is marked, expires or comes late meanwhile
		}
		if err = atRest(t.Context(), store, n.member.Image()); err == nil {
			break
		}
		c.poke(n)
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	for time.Now().Before(deadline) {
		r, verr := audit.Verify(t.Context(), audit.Options{Bucket: store, Deep: true, CheckMeta: partition.CheckSnapshotParts})
		if verr != nil {
			t.Fatal(verr)
		}
		if err = atRest(t.Context(), store, n.member.Image()); err == nil && len(r.Findings) == 0 {
			t.Logf("%d keys, %d objects, %d record batches, %d ranges, %d slots", r.Keys, r.Objects, r.Batches, r.Ranges, r.Slots)
			return
		}
		if err == nil {
			err = fmt.Errorf("%+v", r.Findings)
		}
		if !r.Well() {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal(err)
}

// poke changes the image, so that whoever waits for that looks at the clock again.
func (c *cluster) poke(n *Node) {
	c.t.Helper()
	cmd := &meta.AlterConfigs{Changes: []meta.ConfigChange{{Kind: meta.GroupConfig, Name: "poke", Configs: map[string]string{"at": time.Now().String()}}}}
	if _, err := n.member.Submit(c.t.Context(), cmd); err != nil {
		c.t.Fatal(err)
	}
}

// atRest compares the objects and the logs in the bucket with what the image needs: of objects the committed ones; of the logs of epochs that
// live, slot 0 and what is not trimmed; of those that are over, slot 0 and seals; of the metadata log, whatever is a slot or one of two
// snapshots.
func atRest(ctx context.Context, store objstore.Store, img *meta.Image) error {
	need := map[string]bool{}
	for o := range img.Objects() {
		switch o.State {
		case meta.Committed:
			need[object.Key(img.ClusterID(), o.ID)] = true
		case meta.Destroying:
			return fmt.Errorf("object %s is still to be deleted", o.ID)
		}
	}
	if img.DeletedTopics() > 0 || img.RescueCount() > 0 {
		return errors.New("topics are to be reaped, or logs to be rescued")
	}
	var extra []string
	snapshots, seals := 0, map[meta.NodeRef]int{}
	for info, err := range store.List(ctx, "", "") {
		if err != nil {
			return err
		}
		k := audit.ParseKey("meta", info.Key)
		ref := meta.NodeRef{ID: k.Node, Epoch: base.NodeEpoch(k.At.Epoch)}
		live, _ := img.Node(k.Node)
		volume, isLive := live.Volume(ref.Epoch)
		switch {
		case need[info.Key]:
			delete(need, info.Key)
		case k.Class == audit.MetaSlot:
		case k.Class == audit.Snapshot && snapshots < 2:
			snapshots++
		case k.Class == audit.WALSlot && isLive && !live.Fenced && (k.At.Slot == 0 || k.At.Slot >= uint64(volume.Trim)):
			seals[ref]++
		case k.Class == audit.WALSlot && img.EpochOver(ref):
			s, err := s3.Slots(store, img.ClusterID(), k.Node).Read(ctx, k.At.Epoch, k.At.Slot)
			if err != nil {
				return err
			}
			if s.Seal != nil {
				seals[ref]++
			} else if k.At.Slot != 0 {
				extra = append(extra, info.Key)
			}
		default:
			extra = append(extra, info.Key)
		}
	}
	var missing []string
	for k := range need {
		missing = append(missing, k)
	}
	for epoch := base.NodeEpoch(1); epoch < img.NextNodeEpoch(); epoch++ {
		over := true
		for n := range img.Nodes() {
			over = over && (n.Epoch != epoch || n.Fenced)
		}
		if sealed := slices.ContainsFunc(refs(seals), func(r meta.NodeRef) bool { return r.Epoch == epoch }); over && !sealed {
			missing = append(missing, fmt.Sprintf("a seal of node epoch %d", epoch))
		}
	}
	if len(missing)+len(extra) > 0 {
		return fmt.Errorf("missing %q, too many %q", missing, extra)
	}
	return nil
}

func refs(m map[meta.NodeRef]int) (out []meta.NodeRef) {
	for r := range m {
		out = append(out, r)
	}
	return out
}
