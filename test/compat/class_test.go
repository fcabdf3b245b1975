package compat

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sluice/edge/admin"
	"sluice/test/broker"
	"sluice/test/s3test"
)

// TestClassChangesWithTool: Apache Kafka's kafka-configs moves a topic from the WAL in a directory to the one in the bucket, and back, while an
// idempotent producer and a member of a group work on it. In the end all that was acknowledged is there once and in order, and the group has seen it.
func TestClassChangesWithTool(t *testing.T) {
	dir := t.TempDir()
	b := broker.Start(t, broker.Options{Dir: dir, Bucket: s3test.Start(t), WAL: "file://" + filepath.Join(dir, "wal") + ",s3",
		Args: []string{"--wal-s3-puts-per-second", "200"}})
	first := failoverStacks[0]
	s := &stack{name: first.name, command: first.command(t), addrs: b.Addr}
	c := &trio{t: t, brokers: []*broker.Process{b}, stacks: []*stack{s}}
	adm := c.client()
	ctx, cancel := context.WithTimeout(context.Background(), failoverPatience)
	defer cancel()
	if res, err := adm.CreateTopic(ctx, failoverPartitions, 1, nil, s.topic()); err != nil || res.Err != nil {
		t.Fatal(err, res.Err)
	}
	awaitInBucket(t, b, 0)
	s.start(t)
	c.awaitProgress("start")
	for _, step := range []struct {
		class    string
		inBucket int
	}{{"s3", failoverPartitions}, {"file", 0}} {
		kafkaConfigs(t, b, s.topic(), "--alter", "--add-config", "sluice.wal.class="+step.class)
		if text := kafkaConfigs(t, b, s.topic(), "--describe"); !strings.Contains(text, "sluice.wal.class="+step.class+" ") {
			t.Fatalf("the topic was given class %s, and the tool shows\n%s", step.class, text)
		}
		awaitInBucket(t, b, step.inBucket)
		c.awaitProgress("class " + step.class)
	}
	s.finish(t)
	s.check(t, adm, s)
}

// kafkaConfigs runs Apache Kafka's tool for the settings of a topic and returns what it prints.
func kafkaConfigs(t *testing.T, b *broker.Process, topic string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), failoverPatience)
	defer cancel()
	args = append([]string{"kafka-configs", "--bootstrap-server", b.Addr, "--entity-type", "topics", "--entity-name", topic}, args...)
	out, err := exec.CommandContext(ctx, filepath.Join(broker.Root(), "test/kafka/kafka"), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// awaitInBucket waits until so many partitions are on the WAL in the bucket.
func awaitInBucket(t *testing.T, b *broker.Process, partitions int) {
	t.Helper()
	var err error
	var v admin.WALsAnswer
	open := -1
	if !within(failoverPatience, func() bool {
		v, open = admin.WALsAnswer{}, -1
		if err = ask(b, "/v1/wal", nil, &v); err != nil {
			return false
		}
		for _, w := range v.WALs {
			if w.Class == "s3" {
				open = w.Open
			}
		}
		return open == 2*partitions // a partition has two streams
	}) {
		t.Fatalf("%d streams are open on the WAL in the bucket, of %d partitions: %v, %+v", open, partitions, err, v)
	}
}
