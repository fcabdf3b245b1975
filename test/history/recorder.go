package history

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Value is what a record carries; unique in a history.
type Value int64

// Process is a client: it does one thing after the other, except that its sends may overlap.
type Process int32

// TopicPartition names a partition.
type TopicPartition struct {
	Topic string
	Index int32
}

func (p TopicPartition) String() string { return fmt.Sprintf("%s-%d", p.Topic, p.Index) }

// Outcome is how a send ended.
type Outcome uint8

const (
	// Info: it may have happened or not, or may happen yet.
	Info Outcome = iota
	// OK: the broker has acknowledged it.
	OK
	// Fail: it had definitely no effect.
	Fail
)

func (o Outcome) String() string { return [...]string{"info", "ok", "fail"}[o] }

// Txn names a transaction; 0 is none.
type Txn int32

// send is one record that a process tried to write; its value is its index.
type send struct {
	process   Process
	partition int32 // index into partitions
	outcome   Outcome
	txn       Txn
	offset    int64 // of an acknowledged send; -1: not told
	invoked   int64 // ns since the start, as are all times
	ended     int64
}

// Record is one record that a poll returned.
type Record struct {
	Partition TopicPartition
	Offset    int64
	Value     Value
}

type read struct {
	partition int32
	offset    int64
	value     Value
}

type pollKind uint8

const (
	poll pollKind = iota
	finalPoll
	assign
	crash
)

// step is something a process did that is not a send.
type step struct {
	process Process
	kind    pollKind
	txn     Txn
	at      int64
	reads   []read
}

// Recorder collects a history.
type Recorder struct {
	mu         sync.Mutex
	start      time.Time
	sends      []send
	steps      []step
	partitions []TopicPartition
	ids        map[TopicPartition]int32
	txns       []Outcome // by Txn-1
	faults     map[string]int
	finals     int
}

// NewRecorder starts a history.
func NewRecorder() *Recorder {
	return &Recorder{start: time.Now(), ids: map[TopicPartition]int32{}, faults: map[string]int{}}
}

func (r *Recorder) nowLocked() int64 { return int64(time.Since(r.start)) }

func (r *Recorder) partitionLocked(p TopicPartition) int32 {
	id, ok := r.ids[p]
	if !ok {
		id = int32(len(r.partitions))
		r.partitions = append(r.partitions, p)
		r.ids[p] = id
	}
	return id
}

// Invoke records that a process begins to send a value to a partition, and returns the value.
func (r *Recorder) Invoke(p Process, to TopicPartition) Value { return r.InvokeIn(0, p, to) }

// InvokeIn is Invoke within a transaction.
func (r *Recorder) InvokeIn(txn Txn, p Process, to TopicPartition) Value {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sends = append(r.sends, send{process: p, partition: r.partitionLocked(to), txn: txn, offset: -1, invoked: r.nowLocked(), ended: -1})
	return Value(len(r.sends) - 1)
}

// Acknowledged records that the broker has acknowledged a value at an offset, -1 if it does not say at which.
func (r *Recorder) Acknowledged(v Value, offset int64) { r.end(v, OK, offset) }

// Failed records that a send had definitely no effect.
func (r *Recorder) Failed(v Value) { r.end(v, Fail, -1) }

// Unclear records that nobody knows whether a send had an effect.
func (r *Recorder) Unclear(v Value) { r.end(v, Info, -1) }

func (r *Recorder) end(v Value, o Outcome, offset int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.sends[v]
	if s.ended >= 0 {
		panic(fmt.Sprintf("BUG: send %d ended twice", v))
	}
	s.outcome, s.offset, s.ended = o, offset, r.nowLocked()
}

// Begin starts a transaction; End says how it ended: OK is committed, Fail is aborted.
func (r *Recorder) Begin() Txn {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.txns = append(r.txns, Info)
	return Txn(len(r.txns))
}

// End ends a transaction.
func (r *Recorder) End(t Txn, o Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.txns[t-1] = o
}

// Polled records what one poll of a process returned, in the order in which the process saw it. Empty polls may be left out.
func (r *Recorder) Polled(p Process, records []Record) { r.step(p, poll, 0, records) }

// PolledIn is Polled within a transaction.
func (r *Recorder) PolledIn(txn Txn, p Process, records []Record) { r.step(p, poll, txn, records) }

// PolledFinally is Polled for the reads after all is healed and the producers have stopped. They must go from the start of every
// partition to its end.
func (r *Recorder) PolledFinally(p Process, records []Record) { r.step(p, finalPoll, 0, records) }

// Assigned records that a process was given partitions, or sought: its position may jump.
func (r *Recorder) Assigned(p Process) { r.step(p, assign, 0, nil) }

// Crashed records that a process (or all it knew) is gone.
func (r *Recorder) Crashed(p Process) { r.step(p, crash, 0, nil) }

func (r *Recorder) step(p Process, kind pollKind, txn Txn, records []Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := step{process: p, kind: kind, txn: txn, at: r.nowLocked()}
	if len(records) > 0 {
		s.reads = make([]read, len(records))
	}
	for i, rec := range records {
		s.reads[i] = read{r.partitionLocked(rec.Partition), rec.Offset, rec.Value}
	}
	if kind == finalPoll {
		r.finals++
	}
	r.steps = append(r.steps, s)
}

// Fault records that a fault has fired.
func (r *Recorder) Fault(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[name]++
}

// Counts tells how many sends there are by outcome.
func (r *Recorder) Counts() (ok, fail, info int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var n [3]int
	for i := range r.sends {
		n[r.outcomeLocked(&r.sends[i])]++
	}
	return n[OK], n[Fail], n[Info]
}

// outcomeLocked is how a send ended, its transaction considered.
func (r *Recorder) outcomeLocked(s *send) Outcome {
	if s.txn == 0 || s.outcome == Fail {
		return s.outcome
	}
	switch end := r.txns[s.txn-1]; {
	case end == Fail:
		return Fail
	case end == OK && s.outcome == OK:
		return OK
	}
	return Info
}

// WriteTo writes the history as text, one line per event, for people and other tools.
func (r *Recorder) WriteTo(w io.Writer) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &countingWriter{w: bufio.NewWriter(w)}
	for v := range r.sends {
		s := &r.sends[v]
		fmt.Fprintf(out, "%d process %d send %d to %v %v at %d ended %d txn %d\n",
			s.invoked, s.process, v, r.partitions[s.partition], r.outcomeLocked(s), s.offset, s.ended, s.txn)
	}
	for i := range r.steps {
		s := &r.steps[i]
		var b strings.Builder
		for _, rd := range s.reads {
			fmt.Fprintf(&b, " %v@%d=%d", r.partitions[rd.partition], rd.offset, rd.value)
		}
		fmt.Fprintf(out, "%d process %d %s txn %d%s\n", s.at, s.process, [...]string{"poll", "final poll", "assign", "crash"}[s.kind], s.txn, b.String())
	}
	return out.n, out.w.Flush()
}

type countingWriter struct {
	w *bufio.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
