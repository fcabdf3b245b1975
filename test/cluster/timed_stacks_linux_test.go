package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/test/broker"
	"sluice/test/process"
	"sluice/test/timeline"
)

// stackPartitions is what the programs of test/compat count on.
const stackPartitions = 6

// stackRate is how many records a second a program writes. It is little: eight processes of clients and three of brokers share the machine, and what is
// looked for does not need many records.
const stackRate = 60

// stackPrograms are the client programs of test/compat that keep a producer and a member of a group running, see failover_test.go there for the
// lines they speak, each with the group protocol of its member.
var stackPrograms = []struct {
	name, protocol string
	command        []string
}{
	{"librdkafka, classic group", "classic", []string{".cache/venv/bin/python", "test/compat/python/failover.py"}},
	{"librdkafka, KIP-848 group", "consumer", []string{".cache/venv/bin/python", "test/compat/python/failover.py"}},
	{"Java, classic group", "classic", []string{"test/compat/java/failover.sh"}},
	{"Java, KIP-848 group", "consumer", []string{"test/compat/java/failover.sh"}},
}

// place is where a record of a stack is.
type place struct {
	partition int32
	offset    int64
}

// stack is a client program that runs, and what it has said.
type stack struct {
	r           *timed
	name, topic string
	program     *process.Program

	mu       sync.Mutex
	acked    map[int64]place // by value
	consumed map[place]bool
	errors   []string
	flushed  bool
}

// startStacks starts every program, on a topic of its own.
func startStacks(ctx context.Context, r *timed) []*stack {
	var all []*stack
	for i, p := range stackPrograms {
		s := &stack{r: r, name: p.name, topic: fmt.Sprintf("stack-%d", i), acked: map[int64]place{}, consumed: map[place]bool{}}
		if err := r.admin(func(adm *kadm.Client) error {
			_, err := adm.CreateTopic(ctx, stackPartitions, 1, nil, s.topic)
			return err
		}); err != nil {
			r.t.Fatalf("create the topic of %s: %v", s.name, err)
		}
		s.start(p.protocol, p.command, "load", s.topic, "group-of-"+s.topic)
		all = append(all, s)
	}
	return all
}

// start starts the program, with a mode, a topic and what its mode takes besides.
func (s *stack) start(protocol string, command []string, mode, topic, last string) {
	t := s.r.t
	args := append(command[1:len(command):len(command)], mode, strings.Join(s.r.Addrs, ","), topic, last)
	cmd := exec.Command(filepath.Join(broker.Root(), command[0]), args...)
	cmd.Dir = broker.Root()
	cmd.Env = append(os.Environ(), "GROUP_PROTOCOL="+protocol, fmt.Sprint("RATE=", stackRate))
	var err error
	if s.program, err = process.StartProgram(cmd, s.said); err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	t.Cleanup(func() {
		s.program.End()                                                                                                      // has ended, usually
		if t.Failed() || slices.ContainsFunc(s.r.guarantees, func(g *timeline.Guarantee) bool { return len(g.Wrong) > 0 }) { // the verdict comes later
			t.Logf("%s printed\n%s", s.name, s.program.Stderr)
		}
	})
}

// said takes note of a line.
func (s *stack) said(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	words := strings.Fields(line)
	var n [3]int64
	for i := 1; i < len(words) && i <= len(n); i++ {
		n[i-1], _ = strconv.ParseInt(words[i], 10, 64)
	}
	at := place{int32(n[0]), n[1]}
	switch {
	case len(words) == 4 && words[0] == "acked":
		if was, ok := s.acked[n[2]]; ok && was != at {
			s.errors = append(s.errors, fmt.Sprintf("value %d was acknowledged at %v and at %v", n[2], was, at))
		}
		s.acked[n[2]] = at
		s.r.tl.Acked(s.name, 0)
	case len(words) == 3 && words[0] == "consumed":
		s.consumed[at] = true
		s.r.tl.Consumed(s.name, 1)
	case len(words) == 2 && words[0] == "copied":
		s.r.tl.Count(s.name, "copied in transactions", n[0])
	case len(words) == 2 && words[0] == "again":
		s.r.tl.Count(s.name, "transactions begun anew", 1)
	case line == "flushed":
		s.flushed = true
	case line != "" && len(s.errors) < 20:
		s.errors = append(s.errors, line)
	}
}

// await waits until ok, which is asked under the lock, and reports whether that came about.
func (s *stack) await(within time.Duration, ok func() bool) bool {
	for deadline := time.Now().Add(within); ; time.Sleep(20 * time.Millisecond) {
		s.mu.Lock()
		done := ok()
		s.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-s.program.Ended:
			return false
		default:
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// finish has the program send the rest, waits for its member of the group to have read everything that was acknowledged, and ends it.
func (s *stack) finish() {
	fmt.Fprintln(s.program.Stdin, "finish")
	if !s.await(finishWithin, func() bool { return s.flushed }) {
		s.r.guarantee("G13").Wrongf("%s does not come to an end with producing within %v", s.name, finishWithin)
	}
	missing := func() (n int, first place) {
		for _, at := range s.acked {
			if !s.consumed[at] {
				n, first = n+1, at
			}
		}
		return n, first
	}
	if !s.await(finishWithin, func() bool { n, _ := missing(); return n == 0 }) {
		s.mu.Lock()
		n, first := missing()
		s.mu.Unlock()
		s.r.guarantee("G5").Wrongf("%s: %d of %d acknowledged records were never read by the group, such as %v", s.name, n, len(s.acked), first)
	}
	s.program.Stdin.Close()
	select {
	case <-s.program.Ended:
	case <-time.After(readWithin):
		s.r.guarantee("G13").Wrongf("%s does not end", s.name)
	}
}

// check reads the topic of the stack and compares it with what was acknowledged.
func (s *stack) check(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.errors {
		s.r.guarantee("G3").Wrongf("%s: %s", s.name, e)
	}
	found, last := map[int64]place{}, map[int32]int64{}
	err := s.r.scan(ctx, s.topic, func(rec *kgo.Record) {
		v, err := strconv.ParseInt(string(rec.Value), 10, 64)
		at := place{rec.Partition, rec.Offset}
		if err != nil {
			s.r.guarantee("G1").Wrongf("%s: the record at %v is not one of its own: %.40q", s.name, at, rec.Value)
			return
		}
		if was, twice := found[v]; twice {
			s.r.guarantee("G3").Wrongf("%s: value %d is at %v and at %v", s.name, v, was, at)
		}
		found[v] = at
		if before, ok := last[rec.Partition]; ok && before >= v {
			s.r.guarantee("G2").Wrongf("%s: value %d follows value %d at %v", s.name, v, before, at)
		}
		last[rec.Partition] = v
	})
	if err != nil {
		s.r.guarantee("G13").Wrongf("%s: read its topic: %v", s.name, err)
		return
	}
	for v, at := range s.acked {
		if found[v] != at {
			s.r.guarantee("G1").Wrongf("%s: value %d was acknowledged at %v, found at %v", s.name, v, at, found[v])
		}
	}
	s.r.tl.Count(s.name, "read in the end", int64(len(found)))
}

// scan reads what is committed of a topic from the start to the end.
func (r *timed) scan(ctx context.Context, topic string, each func(*kgo.Record)) error {
	client, err := kgo.NewClient(r.Options(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(200*time.Millisecond))...)
	if err != nil {
		return err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return err
	}
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return err
	}
	left := map[int32]int64{}
	for p, o := range ends[topic] {
		if start, ok := starts.Lookup(topic, p); !ok || o.Offset > start.Offset {
			left[p] = o.Offset
		}
	}
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return fmt.Errorf("%s is not read to its ends, these are missing: %v", topic, left)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			if !rec.Attrs.IsControl() {
				each(rec)
			}
			if end, ok := left[rec.Partition]; ok && rec.Offset+1 >= end {
				delete(left, rec.Partition)
			}
		})
	}
	return nil
}

// version is the first line that a command prints.
func version(name string, args ...string) string {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(first)
}

// clientVersions says what the stacks are.
func clientVersions() string {
	python := version(filepath.Join(broker.Root(), ".cache/venv/bin/python"), "-c", "import confluent_kafka as c; print('confluent-kafka', c.version()[0] if isinstance(c.version(), tuple) else c.version(), 'librdkafka', c.libversion()[0])")
	jars, _ := filepath.Glob(filepath.Join(broker.Root(), ".cache/kafka/libs/kafka-clients-*.jar"))
	java := "kafka-clients unknown"
	if len(jars) > 0 {
		java = strings.TrimSuffix(filepath.Base(jars[0]), ".jar")
	}
	return "franz-go as in go.mod, " + python + ", " + java
}
