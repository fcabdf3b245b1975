package ecosystem

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// site is one of the two clusters that MirrorMaker 2 mirrors to each other.
type site struct {
	alias, addr string
	topic       string
	want        []string // the records of its topic
}

func (s *site) produce(t *testing.T, n int) {
	t.Helper()
	var records []*kgo.Record
	for range n {
		v := fmt.Sprintf("%s %d", s.alias, len(s.want))
		s.want = append(s.want, v)
		records = append(records, &kgo.Record{Topic: s.topic, Key: []byte(v), Value: []byte(v), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(v)}}})
	}
	produce(t, s.addr, records...)
}

// TestMirrorMaker: one process of MirrorMaker 2 mirrors Apache Kafka to Sluice and Sluice to Apache Kafka: topics, records with keys and headers, the offsets of
// groups, heartbeats and checkpoints.
func TestMirrorMaker(t *testing.T) {
	b := sluice(t)
	ours := &site{alias: "sluice", addr: b.Addr, topic: "ours"}
	theirs := &site{alias: "kafka", addr: apacheKafka(t), topic: "theirs"}
	for _, s := range []*site{ours, theirs} {
		createTopic(t, s.addr, s.topic, 3)
		s.produce(t, 1000)
	}
	java(t, jars(t, "kafka"), nil, "org.apache.kafka.connect.mirror.MirrorMaker", properties(t, mirrorSettings(ours, theirs)...))
	checkMirrored(t, ours, theirs)
	checkMirrored(t, theirs, ours)
	for _, s := range []*site{ours, theirs} {
		s.produce(t, 1000)
	}
	checkMirrored(t, ours, theirs)
	checkMirrored(t, theirs, ours)
	for _, d := range [][2]*site{{ours, theirs}, {theirs, ours}} {
		checkGroup(t, d[0], d[1])
		checkInternal(t, d[0], d[1])
	}
	b.Verify()
}

func mirrorSettings(ours, theirs *site) []string {
	settings := []string{"clusters=sluice,kafka", "sluice.bootstrap.servers=" + ours.addr, "kafka.bootstrap.servers=" + theirs.addr,
		"tasks.max=2", "replication.factor=1", "checkpoints.topic.replication.factor=1", "heartbeats.topic.replication.factor=1",
		"offset-syncs.topic.replication.factor=1", "offset.storage.replication.factor=1", "status.storage.replication.factor=1",
		"config.storage.replication.factor=1", "offset.flush.interval.ms=500", "dedicated.mode.enable.internal.rest=true", "listeners=http://127.0.0.1:0"}
	for _, d := range []string{"sluice->kafka", "kafka->sluice"} {
		for _, s := range []string{"enabled=true", "topics=ours,theirs", "groups=.*", "sync.group.offsets.enabled=true", "sync.group.offsets.interval.seconds=1",
			"emit.checkpoints.interval.seconds=1", "emit.heartbeats.interval.seconds=1", "refresh.topics.interval.seconds=2",
			"refresh.groups.interval.seconds=2", "offset.lag.max=0", "sync.topic.acls.enabled=false"} {
			settings = append(settings, d+"."+s)
		}
	}
	return settings
}

// checkMirrored waits until the mirror of a topic has its records, and demands that it has the same ones in the same partitions and order.
func checkMirrored(t *testing.T, from, to *site) {
	t.Helper()
	source, err := read(t, from.addr, from.topic)
	if err != nil {
		t.Fatal(err)
	}
	mirror := from.alias + "." + from.topic
	var got []*kgo.Record
	await(t, mirror+" has all records", func() error {
		if got, err = read(t, to.addr, mirror); err == nil && len(got) < len(source) {
			err = fmt.Errorf("%d of %d", len(got), len(source))
		}
		return err
	})
	if len(source) != len(from.want) {
		t.Errorf("%s has %d records, want %d", from.topic, len(source), len(from.want))
	}
	if a, b := inOrder(source), inOrder(got); !slices.Equal(a, b) {
		t.Errorf("%s has %d records that are not those of the source, %d, or not in their order", mirror, len(b), len(a))
	}
}

// inOrder writes out records, partition by partition.
func inOrder(records []*kgo.Record) []string {
	slices.SortStableFunc(records, func(a, b *kgo.Record) int { return int(a.Partition - b.Partition) })
	var all []string
	for _, r := range records {
		all = append(all, fmt.Sprintf("%d %s %s %v %d", r.Partition, r.Key, r.Value, r.Headers, r.Timestamp.UnixMilli()))
	}
	return all
}

// checkGroup has a group commit the middle and the end of partitions at the source, and waits until it has offsets at the target that mean the same:
// never behind what the source has not read, and at the end where the source is.
func checkGroup(t *testing.T, from, to *site) {
	t.Helper()
	group := "readers-of-" + from.topic
	ends, err := admin(t, from.addr).ListEndOffsets(t.Context(), from.topic)
	if err != nil {
		t.Fatal(err)
	}
	commit := kadm.Offsets{}
	for p, end := range ends[from.topic] {
		commit.Add(kadm.Offset{Topic: from.topic, Partition: p, At: end.Offset, LeaderEpoch: -1})
	}
	if err := admin(t, from.addr).CommitAllOffsets(t.Context(), group, commit); err != nil {
		t.Fatal(err)
	}
	await(t, group+" has its offsets at the other site", func() error {
		got, err := admin(t, to.addr).FetchOffsets(t.Context(), group)
		if err != nil {
			return err
		}
		for p, end := range ends[from.topic] {
			if o, ok := got.Lookup(from.alias+"."+from.topic, p); !ok || o.Err != nil || o.At != end.Offset {
				return fmt.Errorf("partition %d: %v, want %d", p, o.At, end.Offset)
			}
		}
		return nil
	})
}

// checkInternal reads the topics that MirrorMaker keeps for itself at the target.
func checkInternal(t *testing.T, from, to *site) {
	t.Helper()
	for _, topic := range []string{from.alias + ".checkpoints.internal", "heartbeats", from.alias + ".heartbeats"} {
		await(t, topic+" at "+to.alias+" has records", func() error {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			ends, err := admin(t, to.addr).ListEndOffsets(ctx, topic)
			if err != nil {
				return err
			}
			missing := map[int32]int64{}
			for p, o := range ends[topic] {
				if o.Err != nil {
					return o.Err
				}
				if o.Offset > 0 {
					missing[p] = o.Offset
				}
			}
			records, err := readTo(ctx, t, to.addr, topic, missing)
			if err == nil && len(records) == 0 {
				err = fmt.Errorf("none")
			}
			for _, r := range records {
				if err == nil && len(r.Value) >= 2 && binary.BigEndian.Uint16(r.Value) != 0 {
					err = fmt.Errorf("version %d", binary.BigEndian.Uint16(r.Value))
				}
			}
			return err
		})
	}
}
