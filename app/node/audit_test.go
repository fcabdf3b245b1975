package node

import (
	"context"
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
	"sluice/cluster/meta"
	"sluice/storage/object"
	"sluice/storage/objstore"
	"sluice/storage/objstore/fault"
	"sluice/storage/wal/s3"
)

// clock is the wall clock of the controllers of a test; it can be put forward, so that everything becomes old.
type clock struct{ ahead atomic.Int64 }

func (k *clock) now() time.Time { return time.Now().Add(time.Duration(k.ahead.Load())) }

// TestBucketEqualsReferences: brokers under load, with retention, deleted topics, moves, crashes and a store that loses answers and does puts
// late. When it is over and everything has had its grace, the bucket holds exactly what the metadata needs.
func TestBucketEqualsReferences(t *testing.T) {
	for _, brokers := range []int{1, 3} {
		t.Run(fmt.Sprintf("brokers=%d", brokers), func(t *testing.T) {
			k := new(clock)
			c := newCluster(t, append(clusterSettings(t, "s3"), "sweep-interval=200ms", "log.retention.check.interval.ms=200", "upload-interval=50ms", "num.partitions=4")...)
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
			// A slot that came back below the trim of a log that is still written stays until that node epoch is over, so all end theirs.
			for _, n := range nodes {
				crash(n)
			}
			c.node = nil
			nodes = []*Node{c.start()}
			for len(nodes) < min(brokers, 2) {
				nodes = append(nodes, c.another())
			}
			rest(t, c, inner, nodes[0], k)
		})
	}
}

// strain works the cluster, and returns the brokers that are left.
func strain(t *testing.T, c *cluster, nodes []*Node) []*Node {
	admin := kadm.NewClient(c.at(nodes[0]))
	producer := c.at(nodes[0], kgo.ProducerBatchMaxBytes(20_000))
	for round := range 4 {
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
