package compat

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/base"
	"sluice/edge/admin"
	"sluice/test/broker"
	"sluice/test/process"
)

// The client programs of this test, failover.* beside check.*, speak lines. Started with `load HOST:PORT,... TOPIC GROUP`, a program has an
// idempotent producer with acks=all send integers that grow within each partition, while a member of a group reads the topic:
//
//	acked PARTITION OFFSET VALUE   the producer got an acknowledgement
//	consumed PARTITION OFFSET      the member of the group got a record
//	error TEXT                     the library gave something up
//	flushed                        after a line on its input: everything sent was answered
//
// and ends when its input ends. With `read HOST:PORT,... TOPIC COUNT` it reads a topic from the start: COUNT lines `read PARTITION OFFSET VALUE`.
const (
	failoverPartitions = 6
	failoverPatience   = time.Minute // for whatever has to come about
)

// failoverStacks are the client stacks that are kept running, each with the command of its program.
var failoverStacks = []struct {
	name    string
	command func(t *testing.T) []string
}{
	{"confluent-kafka-python", func(*testing.T) []string {
		return []string{filepath.Join(broker.Root(), ".cache/venv/bin/python"), "python/failover.py"}
	}},
	{"kafkajs", func(*testing.T) []string { return []string{"node", "nodejs/failover.mjs"} }},
	{"sarama", func(t *testing.T) []string { return []string{buildIn(t, "sarama", "build", "./failover")} }},
	{"java", func(*testing.T) []string { return []string{"java/failover.sh"} }},
}

// recordID is the place of a record in a topic.
type recordID struct {
	partition int32
	offset    int64
}

// stack is a client stack that runs, and what it has said.
type stack struct {
	name    string
	command []string
	addrs   string
	program *process.Program

	mu       sync.Mutex
	acked    map[recordID]int64
	consumed map[recordID]bool
	acks     [failoverPartitions]int
	got      [failoverPartitions]int
	errors   []string
	flushed  bool
}

func (s *stack) topic() string { return "failover-" + s.name }

// start runs the program under load. It is gone when the test is over.
func (s *stack) start(t *testing.T) {
	t.Helper()
	s.acked, s.consumed = map[recordID]int64{}, map[recordID]bool{}
	args := append(s.command[1:len(s.command):len(s.command)], "load", s.addrs, s.topic(), "group-"+s.name)
	var err error
	if s.program, err = process.StartProgram(exec.Command(s.command[0], args...), s.said); err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	t.Cleanup(func() {
		s.program.End() // has ended, usually
		if t.Failed() {
			t.Logf("%s printed\n%s", s.name, s.program.Stderr)
		}
	})
}

// said takes a line of the program.
func (s *stack) said(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	word, rest, _ := strings.Cut(line, " ")
	var id recordID
	var value int64
	switch word {
	case "acked":
		if _, err := fmt.Sscan(rest, &id.partition, &id.offset, &value); err != nil {
			s.errors = append(s.errors, fmt.Sprintf("line %q: %v", line, err))
			return
		}
		if old, ok := s.acked[id]; ok {
			s.errors = append(s.errors, fmt.Sprintf("%d and %d were both acknowledged at %v", old, value, id))
		}
		s.acked[id] = value
		s.acks[id.partition]++
	case "consumed":
		if _, err := fmt.Sscan(rest, &id.partition, &id.offset); err != nil {
			s.errors = append(s.errors, fmt.Sprintf("line %q: %v", line, err))
			return
		}
		s.consumed[id] = true
		s.got[id.partition]++
	case "flushed":
		s.flushed = true
	case "error":
		s.errors = append(s.errors, rest)
	}
}

// complaints are the errors so far, at most ten of them.
func (s *stack) complaints() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.errors[:min(len(s.errors), 10):min(len(s.errors), 10)]
}

// progress returns the acknowledgements of each partition, and the records of it that the group got.
func (s *stack) progress() (acks, got [failoverPartitions]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acks, s.got
}

// isFlushed reports whether everything sent was answered.
func (s *stack) isFlushed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flushed
}

// missing are the acknowledged records that the group has not got.
func (s *stack) missing() []recordID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []recordID
	for id := range s.acked {
		if !s.consumed[id] {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b recordID) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.offset, b.offset))
	})
	return ids
}

// within waits until a condition holds and returns whether it came to that.
func within(d time.Duration, ok func() bool) bool {
	for deadline := time.Now().Add(d); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// trio is a cluster of three brokers with one bucket and one WAL directory (in TestClassChangesWithTool, a single broker).
type trio struct {
	t       *testing.T
	brokers []*broker.Process
	stacks  []*stack
}

func newTrio(t *testing.T) *trio {
	dir := t.TempDir()
	c := &trio{t: t}
	var addrs []string
	for i, zone := range []string{"a", "b", "c"} {
		b := broker.Start(t, broker.Options{
			Dir: filepath.Join(dir, strconv.Itoa(i)), Bucket: "file://" + filepath.Join(dir, "bucket"), WAL: "file://" + filepath.Join(dir, "wal") + "?shared=true",
			Args: []string{"--zone", zone, "--balance=false"},
		})
		c.brokers = append(c.brokers, b)
		addrs = append(addrs, b.Addr)
	}
	for _, s := range failoverStacks {
		c.stacks = append(c.stacks, &stack{name: s.name, command: s.command(t), addrs: strings.Join(addrs, ",")})
	}
	return c
}

// client is a client of the test itself.
func (c *trio) client() *kadm.Client {
	c.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(c.stacks[0].addrs, ",")...))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	return kadm.NewClient(cl)
}

// ask sends a request to a broker's admin API; body nil: GET.
func ask(b *broker.Process, path string, body, v any) error {
	method, text := http.MethodGet, []byte(nil)
	if body != nil {
		method = http.MethodPost
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+b.Admin+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %s", path, res.Status, answer)
	}
	return json.Unmarshal(answer, v)
}

// awaitWhole waits until a broker says that all three live and serve everything.
func (c *trio) awaitWhole(b *broker.Process) *admin.ClusterView {
	c.t.Helper()
	var v admin.ClusterView
	var err error
	if !within(failoverPatience, func() bool {
		v = admin.ClusterView{}
		if err = ask(b, "/v1/cluster", nil, &v); err != nil {
			return false
		}
		live := 0
		for _, n := range v.Nodes {
			if n.State == "live" {
				live++
			}
		}
		return live == len(c.brokers) && v.Unavailable == 0 && v.Moving == 0 && len(v.Rescues) == 0
	}) {
		c.t.Fatalf("not whole within %v: %v, %+v", failoverPatience, err, v)
	}
	return &v
}

// mark is how far a stack was, and how long it then took to go on; 0: it has not.
type mark struct {
	stack           *stack
	acks, got       [failoverPartitions]int
	produces, reads time.Duration
}

// look notes what has gone on since began: some more acknowledgements in each partition, some more records for the group.
func (m *mark) look(began time.Time) {
	const some = 20
	more := func(was, now [failoverPartitions]int) bool {
		for p := range was {
			if now[p] < was[p]+some {
				return false
			}
		}
		return true
	}
	acks, got := m.stack.progress()
	if m.produces == 0 && more(m.acks, acks) {
		m.produces = time.Since(began)
	}
	if m.reads == 0 && more(m.got, got) {
		m.reads = time.Since(began)
	}
}

// awaitProgress waits until every producer and every group of a stack goes on in each partition, and logs how long that took.
func (c *trio) awaitProgress(after string) {
	c.t.Helper()
	began := time.Now()
	var marks []*mark
	for _, s := range c.stacks {
		m := &mark{stack: s}
		m.acks, m.got = s.progress()
		marks = append(marks, m)
	}
	all := within(failoverPatience, func() bool {
		ok := true
		for _, m := range marks {
			m.look(began)
			ok = ok && m.produces > 0 && m.reads > 0
		}
		return ok
	})
	var text []string
	for _, m := range marks {
		text = append(text, fmt.Sprintf("%s %v and %v", m.stack.name, m.produces.Round(time.Millisecond), m.reads.Round(time.Millisecond)))
		if !all && (m.produces == 0 || m.reads == 0) {
			acks, got := m.stack.progress()
			c.t.Errorf("%s, %s: no progress within %v: acknowledged per partition %v, then %v; consumed %v, then %v; errors %q", after, m.stack.name,
				failoverPatience, m.acks, acks, m.got, got, m.stack.complaints())
		}
	}
	c.t.Logf("%s: producers and groups go on after: %s", after, strings.Join(text, ", "))
	if !all {
		c.t.FailNow()
	}
}

// moveAll has every partition led by another broker and waits until it is.
func (c *trio) moveAll() {
	c.t.Helper()
	v := c.awaitWhole(c.brokers[0])
	next := map[base.NodeID]base.NodeID{}
	for i, n := range v.Nodes {
		next[n.ID] = v.Nodes[(i+1)%len(v.Nodes)].ID
	}
	var all admin.PartitionsAnswer
	if err := ask(c.brokers[0], "/v1/partitions", nil, &all); err != nil {
		c.t.Fatal(err)
	}
	type batch struct {
		topic string
		to    base.NodeID
	}
	batches := map[batch][]int32{}
	want := map[string]base.NodeID{}
	for _, p := range all.Partitions {
		b := batch{p.Topic, next[p.Leader]}
		batches[b] = append(batches[b], p.Partition)
		want[fmt.Sprint(p.Topic, p.Partition)] = next[p.Leader]
	}
	for b, partitions := range batches {
		var answer admin.MoveAnswer
		if err := ask(c.brokers[0], "/v1/partitions/move", admin.MoveRequest{Topic: b.topic, Partitions: partitions, To: b.to}, &answer); err != nil {
			c.t.Fatal(err)
		}
		for _, p := range answer.Partitions {
			if p.Error != "" {
				c.t.Fatalf("move of %s, partition %d: %s", b.topic, p.Partition, p.Error)
			}
		}
	}
	c.awaitWhole(c.brokers[0])
	if err := ask(c.brokers[0], "/v1/partitions", nil, &all); err != nil {
		c.t.Fatal(err)
	}
	for _, p := range all.Partitions {
		if to := want[fmt.Sprint(p.Topic, p.Partition)]; p.Leader != to {
			c.t.Errorf("%s, partition %d is led by %v, want %v", p.Topic, p.Partition, p.Leader, to)
		}
	}
}

// mustLead fails the test if there is a client that does not need this broker: then nothing is tested.
func (c *trio) mustLead(b *broker.Process) {
	c.t.Helper()
	id := c.awaitWhole(b).AnsweredBy
	for _, s := range c.stacks {
		var led admin.PartitionsAnswer
		if err := ask(b, "/v1/partitions?topic="+s.topic(), nil, &led); err != nil {
			c.t.Fatal(err)
		}
		if !slices.ContainsFunc(led.Partitions, func(p admin.PartitionView) bool { return p.Leader == id }) {
			c.t.Fatalf("node %v leads no partition of %s", id, s.topic())
		}
	}
}

// transfer has another node become the controller.
func (c *trio) transfer() {
	c.t.Helper()
	before := c.awaitWhole(c.brokers[0]).Controller
	var answer admin.ControllerView
	if err := ask(c.brokers[0], "/v1/controller/transfer", admin.TransferRequest{}, &answer); err != nil {
		c.t.Fatal(err)
	}
	c.t.Logf("the controller was %+v, the answer to the transfer is %+v", before, answer)
	// The answer comes from the new controller; what this broker knows of the cluster follows.
	if !within(failoverPatience, func() bool { return c.awaitWhole(c.brokers[0]).Controller.Node != before.Node }) {
		c.t.Fatalf("the controller is still %+v", before)
	}
}

// TestFailover keeps four client stacks running while a cluster is worked on and loses a broker. Each library has to get over that by itself;
// in the end all that was acknowledged is there once and in order, and the groups have seen it.
func TestFailover(t *testing.T) {
	c := newTrio(t)
	adm := c.client()
	for _, s := range c.stacks {
		ctx, cancel := context.WithTimeout(context.Background(), failoverPatience)
		res, err := adm.CreateTopic(ctx, failoverPartitions, 1, nil, s.topic())
		cancel()
		if err != nil || res.Err != nil {
			t.Fatal(err, res.Err)
		}
		s.start(t)
	}
	c.awaitProgress("start")

	c.moveAll()
	c.awaitProgress("move of all partitions")

	c.mustLead(c.brokers[0])
	if err := c.brokers[0].Stop(failoverPatience); err != nil {
		t.Errorf("a broker that was asked to stop ended with %v", err)
	}
	c.awaitProgress("orderly stop of a broker")
	c.brokers[0].Launch()
	c.brokers[0].AwaitReady(failoverPatience)
	c.awaitWhole(c.brokers[0])
	c.awaitProgress("its restart")

	c.mustLead(c.brokers[1])
	c.brokers[1].Kill()
	c.awaitProgress("kill -9 of a broker")
	c.brokers[1].Launch()
	c.brokers[1].AwaitReady(failoverPatience)
	c.awaitWhole(c.brokers[1])
	c.awaitProgress("its restart")

	c.transfer()
	c.awaitProgress("transfer of the controller")

	t.Run("clients", func(t *testing.T) {
		for _, s := range c.stacks {
			t.Run(s.name, func(t *testing.T) { t.Parallel(); s.finish(t) })
		}
	})
	t.Run("readers", func(t *testing.T) {
		for i, s := range c.stacks {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				s.check(t, adm, s)
				s.check(t, adm, c.stacks[(i+1)%len(c.stacks)])
			})
		}
	})
}

// finish lets the producer get all its answers and the group all the records, and ends the program.
func (s *stack) finish(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(s.program.Stdin, "finish\n"); err != nil {
		t.Fatal(err)
	}
	if !within(failoverPatience, s.isFlushed) {
		t.Errorf("the producer did not come to an end")
	}
	if !within(failoverPatience, func() bool { return len(s.missing()) == 0 }) {
		m := s.missing()
		t.Errorf("the group did not get %d of %d acknowledged records: partitions and offsets from %v to %v", len(m), len(s.acked), m[:min(len(m), 10)], m[len(m)-1])
	}
	s.program.Stdin.Close()
	select {
	case <-s.program.Ended:
	case <-time.After(failoverPatience):
		t.Fatal("the program did not end")
	}
	if s.program.Err != nil {
		t.Errorf("the program ended with %v", s.program.Err)
	}
	for _, e := range s.complaints() {
		t.Errorf("the library gave up: %s", e)
	}
}

// check reads all of a stack's topic with the reader of this one and compares. The program of the other must have ended.
func (s *stack) check(t *testing.T, adm *kadm.Client, of *stack) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), failoverPatience)
	defer cancel()
	ends, err := adm.ListEndOffsets(ctx, of.topic())
	if err != nil || ends.Error() != nil {
		t.Fatal(err, ends.Error())
	}
	var count int64
	ends.Each(func(o kadm.ListedOffset) { count += o.Offset })
	cmd := exec.CommandContext(ctx, s.command[0], append(s.command[1:len(s.command):len(s.command)], "read", s.addrs, of.topic(), strconv.FormatInt(count, 10))...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("the reader of %s ended with %v, having printed\n%s", of.topic(), err, tail(stderr.Bytes(), 8<<10))
	}
	of.compare(t, &stdout)
	t.Logf("%s: %d records acknowledged, %d in the topic, %d consumed by the group", of.topic(), len(of.acked), count, len(of.consumed))
}

// compare checks that what was read is what was acknowledged, once each, at the same offsets, and growing within each partition.
func (s *stack) compare(t *testing.T, read io.Reader) {
	t.Helper()
	var next, last [failoverPartitions]int64
	for p := range last {
		last[p] = -1
	}
	n, wrong := 0, 0
	fail := func(format string, args ...any) {
		if wrong++; wrong <= 10 {
			t.Errorf(format, args...)
		}
	}
	for lines := bufio.NewScanner(read); lines.Scan(); {
		var id recordID
		var value int64
		if _, err := fmt.Sscanf(lines.Text(), "read %d %d %d", &id.partition, &id.offset, &value); err != nil {
			t.Fatalf("line %q: %v", lines.Text(), err)
		}
		n++
		if id.offset != next[id.partition] {
			fail("%v was read, the next offset is %d", id, next[id.partition])
		}
		next[id.partition] = id.offset + 1
		if value <= last[id.partition] {
			fail("%v holds %d after %d", id, value, last[id.partition])
		}
		last[id.partition] = value
		if acked, ok := s.acked[id]; !ok {
			fail("%v holds %d and was not acknowledged", id, value)
		} else if acked != value {
			fail("%v holds %d, acknowledged was %d", id, value, acked)
		}
	}
	if n != len(s.acked) {
		t.Errorf("%d records were read, %d acknowledged; %d things are wrong", n, len(s.acked), wrong)
	}
	if n == 0 {
		t.Error("nothing was read")
	}
}
