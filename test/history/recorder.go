package history

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
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

// Op names a commit of an offset, or a fetch of one, from its beginning to its end.
type Op int64

// Record is one record that a poll returned.
type Record struct {
	Partition TopicPartition
	Offset    int64
	Value     Value
}

// Marks is what a broker said of a partition in one answer; -1 is what it did not say.
type Marks struct {
	Low    int64 // the first offset that is there
	Stable int64 // before it, all transactions have ended
	High   int64 // before it, all is acknowledged or may be read
	Last   int64 // the highest offset of the records in the same answer
	// Committed: the answer was one for readers of what is committed, so that Last has to be below Stable.
	Committed bool
}

// Recorder collects a history. What it has been told it keeps encoded, in memory or in a file, see doc.go.
type Recorder struct {
	mu         sync.Mutex
	clock      func() int64 // since the start
	out        sink
	buf        []byte // the event that is being written
	path       string // of the file; empty: memory
	partitions map[TopicPartition]int
	sends      int64
	open       map[Value]Txn // sends that have not ended
	txns       int32
	ended      [3]int         // sends outside of open transactions, by outcome
	inTxn      map[Txn][3]int // sends of transactions that are open
	ops        map[Op]bool    // that have not ended; true: a fetch
	lastOp     Op
}

// NewRecorder starts a history in memory.
func NewRecorder() *Recorder { return newRecorder(&memory{}) }

// Create starts a history in a new file, compressed if its name ends in .gz or .zst. The recorder's own memory is bounded by what is under way.
// The caller calls Close in the end; Check may be called before and after.
func Create(path string) (*Recorder, error) {
	out, err := createFile(path)
	if err != nil {
		return nil, fmt.Errorf("create history: %w", err)
	}
	r := newRecorder(out)
	r.path = path
	return r, nil
}

// Test is what [ForTest] takes of a testing.TB.
type Test interface {
	Helper()
	Name() string
	Fatal(args ...any)
	Error(args ...any)
	Cleanup(fn func())
}

// ForTest starts the history of a test, which is closed with it: in the directory SLUICE_HISTORY, for sluice-check, or in memory.
func ForTest(t Test) *Recorder {
	t.Helper()
	rec, err := createIn(os.Getenv("SLUICE_HISTORY"), fmt.Sprintf("%s-%d", t.Name(), time.Now().UnixNano()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rec.Close(); err != nil {
			t.Error(err)
		}
	})
	return rec
}

// createIn is Create in a directory, with a file name made of name, or NewRecorder if dir is empty.
func createIn(dir, name string) (*Recorder, error) {
	if dir == "" {
		return NewRecorder(), nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("create history: %w", err)
	}
	clean := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' {
			return c
		}
		return '_'
	}, name)
	return Create(filepath.Join(dir, clean+".jsonl.zst"))
}

func newRecorder(out sink) *Recorder {
	start := time.Now()
	r := &Recorder{
		clock: func() int64 { return int64(time.Since(start)) }, out: out, partitions: map[TopicPartition]int{}, open: map[Value]Txn{},
		inTxn: map[Txn][3]int{}, ops: map[Op]bool{},
	}
	r.writeLocked(appendHeader(nil, start))
	return r
}

// Path is the file that the history is in, empty if it is in memory.
func (r *Recorder) Path() string { return r.path }

// Close ends the history. Nothing may be recorded afterwards. It returns the first error of the file, if there was one.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.out.Close(); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}

// Clock is the time of the history, for [Recorder.Saw].
func (r *Recorder) Clock() int64 { return r.clock() }

func (r *Recorder) writeLocked(line []byte) {
	r.buf = line[:0]
	r.out.write(line)
}

// eventLocked begins an event that happens now.
func (r *Recorder) eventLocked() line { return line(r.buf[:0]).begin(r.clock()) }

func (r *Recorder) endLocked(l line) { r.writeLocked(append(l, '}', '\n')) }

func (r *Recorder) partitionLocked(p TopicPartition) int {
	id, ok := r.partitions[p]
	if !ok {
		id = len(r.partitions)
		r.partitions[p] = id
		r.endLocked(append(line(r.buf[:0]), `{"f":"partition"`...).num("k", int64(id)).text("topic", p.Topic).num("index", int64(p.Index)))
	}
	return id
}

// Invoke records that a process begins to send a value to a partition, and returns the value.
func (r *Recorder) Invoke(p Process, to TopicPartition) Value { return r.InvokeIn(0, p, to) }

// InvokeIn is Invoke within a transaction.
func (r *Recorder) InvokeIn(txn Txn, p Process, to TopicPartition) Value {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.partitionLocked(to)
	v := Value(r.sends)
	r.sends++
	r.open[v] = txn
	r.endLocked(r.eventLocked().num("p", int64(p)).what("send").num("k", int64(k)).num("v", int64(v)).some("x", int64(txn)))
	return v
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
	txn, ok := r.open[v]
	if !ok {
		panic(fmt.Sprintf("BUG: send %d ended twice", v))
	}
	delete(r.open, v)
	if n, open := r.inTxn[txn]; open {
		n[o]++
		r.inTxn[txn] = n
	} else {
		r.ended[o]++
	}
	l := r.eventLocked().what(o.String()).num("v", int64(v))
	if offset >= 0 {
		l = l.num("o", offset)
	}
	r.endLocked(l)
}

// Begin starts a transaction; End says how it ended: OK is committed, Fail is aborted.
func (r *Recorder) Begin() Txn { return r.BeginBy(-1, 0) }

// BeginBy is Begin for a process whose transaction may stay open for so long, with all that a broker may take to find out; 0: for ever.
func (r *Recorder) BeginBy(p Process, limit time.Duration) Txn {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.txns++
	t := Txn(r.txns)
	r.inTxn[t] = [3]int{}
	l := r.eventLocked()
	if p >= 0 {
		l = l.num("p", int64(p))
	}
	r.endLocked(l.what("begin").num("x", int64(t)).some("limit", int64(limit)))
	return t
}

// Ending records that a process begins to ask for the end of a transaction. If it is recorded, nothing of the transaction may be read before.
func (r *Recorder) Ending(t Txn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endLocked(r.eventLocked().what("ending").num("x", int64(t)))
}

// End ends a transaction.
func (r *Recorder) End(t Txn, o Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, ok := r.inTxn[t]
	if !ok {
		panic(fmt.Sprintf("BUG: transaction %d ended twice", t))
	}
	delete(r.inTxn, t)
	for was, count := range n {
		r.ended[together(Outcome(was), o)] += count
	}
	r.endLocked(r.eventLocked().what("end").num("x", int64(t)).text("is", o.String()))
}

// SeenOpen records that somebody saw a transaction open.
func (r *Recorder) SeenOpen(p Process, t Txn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endLocked(r.eventLocked().num("p", int64(p)).what("open").num("x", int64(t)))
}

// Polled records what one poll of a process returned, in the order in which the process saw it. Empty polls may be left out.
func (r *Recorder) Polled(p Process, records []Record) { r.poll("poll", 0, p, records) }

// PolledIn is Polled within a transaction.
func (r *Recorder) PolledIn(txn Txn, p Process, records []Record) { r.poll("poll", txn, p, records) }

// PolledUncommitted is Polled of a reader that asks for what is not committed as well.
func (r *Recorder) PolledUncommitted(p Process, records []Record) { r.poll("dirty", 0, p, records) }

// PolledFinally is Polled for the reads after all is healed and the producers have stopped. They must go from the start of every
// partition to its end.
func (r *Recorder) PolledFinally(p Process, records []Record) { r.poll("final", 0, p, records) }

func (r *Recorder) poll(what string, txn Txn, p Process, records []Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range records {
		r.partitionLocked(records[i].Partition)
	}
	l := r.eventLocked().num("p", int64(p)).what(what).some("x", int64(txn))
	if len(records) > 0 {
		l = l.reads(records, r.partitions)
	}
	r.endLocked(l)
}

// Assigned records that a process was given partitions, or sought: its position may jump.
func (r *Recorder) Assigned(p Process) { r.plain(p, "assign") }

// Crashed records that a process (or all it knew) is gone.
func (r *Recorder) Crashed(p Process) { r.plain(p, "crash") }

func (r *Recorder) plain(p Process, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endLocked(r.eventLocked().num("p", int64(p)).what(what))
}

// Fault records that a fault has fired.
func (r *Recorder) Fault(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.endLocked(r.eventLocked().what("fault").text("name", name))
}

// Counts tells how many sends there are by outcome.
func (r *Recorder) Counts() (ok, fail, info int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.ended
	n[Info] += len(r.open)
	for _, in := range r.inTxn {
		for was, count := range in {
			n[together(Outcome(was), Info)] += count
		}
	}
	return n[OK], n[Fail], n[Info]
}

// together is how a send in a transaction ended, from how both did.
func together(send, txn Outcome) Outcome {
	switch {
	case send == Fail || txn == Fail:
		return Fail
	case send == OK && txn == OK:
		return OK
	}
	return Info
}

// WriteTo writes the history so far, as a file of the format.
func (r *Recorder) WriteTo(w io.Writer) (int64, error) {
	in, err := r.reader()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	n, err := io.Copy(w, in)
	if err == io.ErrUnexpectedEOF { // a compressed file that still grows
		err = nil
	}
	return n, err
}

// reader returns the encoded history so far.
func (r *Recorder) reader() (io.ReadCloser, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.path == "" {
		return r.out.(*memory).reader(), nil
	}
	if err := r.out.flush(); err != nil {
		return nil, fmt.Errorf("write history: %w", err)
	}
	return openFile(r.path, nil)
}
