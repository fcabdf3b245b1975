package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// send is one record that a process tried to write.
type send struct {
	process   int32
	partition int32
	txn       int32 // index into txns plus 1; 0: none
	outcome   Outcome
	done      bool
	offset    int64 // of an acknowledged send; -1: not told
	invoked   int64 // ns since the start, as are all times
	ended     int64 // -1: never
}

// step is something a process did that is not a send.
type step struct {
	process  int32
	kind     what // a poll of one of the three kinds, assign or crash
	txn      int32
	from, to int32 // of its runs
	at       int64
}

// txn is a transaction.
type txn struct {
	name    Txn
	process int32 // -1: not told
	outcome Outcome
	done    bool
	begun   int64
	limit   int64 // 0: none
	asked   int64 // when its end was asked for; -1: not told
	ended   int64 // -1: never
}

// History is what a file or a Recorder holds, ready to be checked.
type History struct {
	partitions []TopicPartition
	sends      []send
	names      []Value         // by index of the send, if they are not the indexes themselves
	index      map[Value]int32 // the reverse of names
	steps      []step
	runs       []run
	values     []int32 // of the runs: an index of a send, or -1 less an index into strange
	strange    []Value // values that were read and that nobody had sent until then
	txns       []txn
	txnIndex   map[Txn]int32
	offsets    []offsetOp
	opIndex    map[int64]int32
	groups     map[string]int32
	groupNames []string
	owners     []ownership
	marks      []mark
	trims      []trim
	sights     []sight
	faults     map[string]int
	finals     int
	lines      int
	lastTime   int64

	// CutOff says that the file ends in the middle of something: what follows is not known.
	CutOff bool
}

// FormatError says where a file is not a history.
type FormatError struct {
	Line int
	Err  error
}

func (e *FormatError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns what is wrong.
func (e *FormatError) Unwrap() error { return e.Err }

// Open reads the history in a file.
func Open(path string) (*History, error) { return open(path, nil) }

// OpenWatched is Open, with a reader put before the file's own bytes, to see how far it has come.
func OpenWatched(path string, through func(io.Reader) io.Reader) (*History, error) {
	return open(path, through)
}

func open(path string, through func(io.Reader) io.Reader) (*History, error) {
	in, err := openFile(path, through)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	h, err := read(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

// Read reads a history, compressed or not.
func Read(r io.Reader) (*History, error) {
	in, err := decompress(r)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return read(in)
}

// lineBytesMax bounds a line: a poll of a million records.
const lineBytesMax = 64 << 20

func read(in io.Reader) (*History, error) {
	h := &History{txnIndex: map[Txn]int32{}, opIndex: map[int64]int32{}, groups: map[string]int32{}, faults: map[string]int{}}
	b := bufio.NewReaderSize(in, 1<<20)
	var e event
	var long []byte
	for {
		line, err := b.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			if long = append(long, line...); len(long) > lineBytesMax {
				return nil, &FormatError{h.lines + 1, fmt.Errorf("longer than %d bytes", lineBytesMax)}
			}
			continue
		}
		if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("after line %d: %w", h.lines, err)
		}
		if len(long) > 0 {
			long = append(long, line...)
			line = long
		}
		last := err != nil
		h.CutOff = last && (err != io.EOF || len(line) > 0)
		if last && len(line) == 0 {
			break
		}
		h.lines++
		if wrong := h.line(line, &e); wrong != nil && !(last && h.lines > 1 && errors.Is(wrong, errSyntax)) {
			return nil, &FormatError{h.lines, wrong}
		} else if wrong == nil && err == io.EOF {
			h.CutOff = false // only the end of the last line is missing
		}
		if long = long[:0]; last {
			break
		}
	}
	if h.lines == 0 {
		return nil, &FormatError{1, errors.New("empty: not even a header")}
	}
	h.settle()
	return h, nil
}

func (h *History) line(b []byte, e *event) error {
	if h.lines == 1 {
		return header(b)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return nil
	}
	if err := e.decode(b); err != nil {
		return err
	}
	if e.has&fT != 0 && e.t > h.lastTime {
		h.lastTime = e.t
	}
	return h.apply(e)
}

func header(b []byte) error {
	var head struct {
		History string
		Version int
	}
	if err := json.Unmarshal(b, &head); err != nil || head.History != "sluice" {
		return errors.New(`not a history: the first line has to be {"history":"sluice","version":1}`)
	}
	if head.Version != version {
		return fmt.Errorf("version %d of the format, only %d is known", head.Version, version)
	}
	return nil
}

func (h *History) apply(e *event) error {
	if e.has&fP != 0 && (e.p < math.MinInt32 || e.p > math.MaxInt32) {
		return fmt.Errorf("process %d: want 32 bits", e.p)
	}
	if e.has&fK != 0 && e.what != partitionEvent && (e.k < 0 || e.k >= int64(len(h.partitions))) {
		return fmt.Errorf("partition %d has not been named", e.k)
	}
	switch e.what {
	case partitionEvent:
		return h.partition(e)
	case sendEvent:
		return h.send(e)
	case okEvent, failEvent, infoEvent:
		return h.sendEnd(e)
	case pollEvent, dirtyEvent, finalEvent, assignEvent, crashEvent:
		return h.step(e)
	case beginEvent, endingEvent, endEvent, openEvent:
		return h.transaction(e)
	case commitEvent, committedEvent, fetchEvent, fetchedEvent:
		return h.offsetOp(e)
	case marksEvent:
		h.mark(e)
	case trimEvent:
		h.trims = append(h.trims, trim{partition: int32(e.k), below: e.o, at: e.t})
	case faultEvent:
		h.faults[e.name]++
	}
	return nil
}

func (h *History) partition(e *event) error {
	if e.k != int64(len(h.partitions)) || len(h.partitions) >= 1<<20 {
		return fmt.Errorf("partition %d is named where %d would be next", e.k, len(h.partitions))
	}
	if e.index < 0 || e.index > math.MaxInt32 {
		return fmt.Errorf("index %d of a partition", e.index)
	}
	h.partitions = append(h.partitions, TopicPartition{e.topic, int32(e.index)})
	return nil
}

func (h *History) send(e *event) error {
	i := len(h.sends)
	if i >= math.MaxInt32 {
		return fmt.Errorf("more than %d sends", math.MaxInt32)
	}
	if e.v < 0 {
		return fmt.Errorf("value %d is sent: want none below 0", e.v)
	}
	if h.find(Value(e.v)) >= 0 {
		return fmt.Errorf("value %d is sent twice", e.v)
	}
	if h.index == nil && e.v != int64(i) {
		h.index = make(map[Value]int32, i+1)
		for j := range i {
			h.index[Value(j)] = int32(j)
			h.names = append(h.names, Value(j))
		}
	}
	if h.index != nil {
		h.index[Value(e.v)] = int32(i)
		h.names = append(h.names, Value(e.v))
	}
	t, err := h.txnOf(e)
	h.sends = append(h.sends, send{process: int32(e.p), partition: int32(e.k), txn: t, offset: -1, invoked: e.t, ended: -1})
	return err
}

// find returns the index of the send of a value, -1 if there is none so far.
func (h *History) find(v Value) int32 {
	if h.index != nil {
		if i, ok := h.index[v]; ok {
			return i
		}
		return -1
	}
	if v >= 0 && v < Value(len(h.sends)) {
		return int32(v)
	}
	return -1
}

// value is what a send has sent.
func (h *History) value(i int32) Value {
	if h.names != nil {
		return h.names[i]
	}
	return Value(i)
}

// txnOf is the transaction that an event is in: its index plus 1, or 0.
func (h *History) txnOf(e *event) (int32, error) {
	if e.has&fX == 0 || e.x == 0 {
		return 0, nil
	}
	i, ok := h.txnIndex[Txn(e.x)]
	if !ok {
		return 0, fmt.Errorf("transaction %d has not begun", e.x)
	}
	return i + 1, nil
}

func (h *History) sendEnd(e *event) error {
	i := h.find(Value(e.v))
	if i < 0 {
		return fmt.Errorf("the send of value %d ends and has not begun", e.v)
	}
	s := &h.sends[i]
	if s.done {
		return fmt.Errorf("the send of value %d ends twice", e.v)
	}
	s.done, s.ended = true, e.t
	switch e.what {
	case okEvent:
		s.outcome = OK
		if e.has&fO != 0 && e.o >= 0 {
			s.offset = e.o
		}
	case failEvent:
		s.outcome = Fail
	}
	return nil
}

func (h *History) step(e *event) error {
	t, err := h.txnOf(e)
	if err != nil {
		return err
	}
	s := step{process: int32(e.p), kind: e.what, txn: t, at: e.t, from: int32(len(h.runs))}
	if e.has&fR != 0 {
		base := len(h.values)
		for _, r := range e.runs {
			if int(r.partition) >= len(h.partitions) {
				return fmt.Errorf("partition %d has not been named", r.partition)
			}
			r.at += base
			h.runs = append(h.runs, r)
		}
		for _, v := range e.values {
			i := h.find(v)
			if i < 0 {
				h.strange = append(h.strange, v)
				i = -int32(len(h.strange))
			}
			h.values = append(h.values, i)
		}
	}
	if s.to = int32(len(h.runs)); len(h.runs) >= math.MaxInt32 {
		return fmt.Errorf("more than %d rows of reads", math.MaxInt32)
	}
	if e.what == finalEvent {
		h.finals++
	}
	h.steps = append(h.steps, s)
	if e.what == assignEvent && e.has&fG != 0 {
		return h.owns(e)
	}
	return nil
}

func (h *History) transaction(e *event) error {
	if e.what == beginEvent {
		if e.x <= 0 || e.x > math.MaxInt32 {
			return fmt.Errorf("transaction %d: want a number above 0", e.x)
		}
		if _, ok := h.txnIndex[Txn(e.x)]; ok {
			return fmt.Errorf("transaction %d begins twice", e.x)
		}
		t := txn{name: Txn(e.x), process: -1, begun: e.t, asked: -1, ended: -1}
		if e.has&fP != 0 {
			t.process = int32(e.p)
		}
		if e.has&fLimit != 0 {
			t.limit = e.limit
		}
		h.txnIndex[t.name] = int32(len(h.txns))
		h.txns = append(h.txns, t)
		return nil
	}
	i, ok := h.txnIndex[Txn(e.x)]
	if !ok {
		return fmt.Errorf("transaction %d has not begun", e.x)
	}
	t := &h.txns[i]
	switch {
	case e.what == openEvent:
		h.sights = append(h.sights, sight{txn: i, process: int32(e.p), at: e.t})
	case t.done:
		return fmt.Errorf("transaction %d ends twice", e.x)
	case e.what == endingEvent:
		t.asked = e.t
	default:
		t.outcome, t.done, t.ended = e.is, true, e.t
	}
	return nil
}

// settle resolves what can be told only when all is read: values that were read by the file before they were sent.
func (h *History) settle() {
	if len(h.strange) == 0 {
		return
	}
	for j, i := range h.values {
		if i < 0 {
			if found := h.find(h.strange[-i-1]); found >= 0 {
				h.values[j] = found
			}
		}
	}
}

// outcome is how a send ended, its transaction considered.
func (h *History) outcome(i int32) Outcome {
	s := &h.sends[i]
	if s.txn == 0 {
		return s.outcome
	}
	return together(s.outcome, h.txns[s.txn-1].outcome)
}
