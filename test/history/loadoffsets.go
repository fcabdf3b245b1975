package history

import (
	"errors"
	"fmt"
)

// offsetOp is a commit of an offset of a group, or a fetch of one.
type offsetOp struct {
	group     int32
	partition int32
	process   int32
	txn       int32
	fetch     bool
	outcome   Outcome // a fetch that was answered is OK
	offset    int64   // committed, or told; -1: none
	invoked   int64
	ended     int64 // -1: never
}

// ownership is what a process said it owns.
type ownership struct {
	group      int32
	process    int32
	generation int64
	partitions []int64
	at         int64
}

// mark is what a process was told of a partition.
type mark struct {
	partition int32
	process   int32
	since, at int64
	Marks
}

// trim is the leave to remove what lies below an offset.
type trim struct {
	partition int32
	below     int64
	at        int64
}

// sight is somebody's seeing a transaction open.
type sight struct {
	txn     int32
	process int32
	at      int64
}

func (h *History) groupOf(name string) int32 {
	id, ok := h.groups[name]
	if !ok {
		id = int32(len(h.groupNames))
		h.groups[name] = id
		h.groupNames = append(h.groupNames, name)
	}
	return id
}

func (h *History) offsetOp(e *event) error {
	if e.what == commitEvent || e.what == fetchEvent {
		if _, ok := h.opIndex[e.op]; ok {
			return fmt.Errorf("operation %d begins twice", e.op)
		}
		op := offsetOp{group: h.groupOf(e.g), partition: int32(e.k), process: int32(e.p), fetch: e.what == fetchEvent, offset: -1, invoked: e.t, ended: -1}
		var err error
		if !op.fetch {
			op.offset = e.o
			op.txn, err = h.txnOf(e)
		}
		h.opIndex[e.op] = int32(len(h.offsets))
		h.offsets = append(h.offsets, op)
		return err
	}
	i, ok := h.opIndex[e.op]
	if !ok {
		return fmt.Errorf("operation %d ends and has not begun", e.op)
	}
	op := &h.offsets[i]
	switch {
	case op.ended >= 0:
		return fmt.Errorf("operation %d ends twice", e.op)
	case op.fetch != (e.what == fetchedEvent):
		return fmt.Errorf("operation %d ends as another one than it began", e.op)
	case op.fetch:
		op.offset, op.outcome = e.o, OK
	default:
		op.outcome = e.is
	}
	op.ended = e.t
	return nil
}

func (h *History) owns(e *event) error {
	if e.has&fGen == 0 || e.has&fKs == 0 {
		return errors.New("an assignment of a group has a generation and partitions")
	}
	for _, k := range e.ks {
		if k < 0 || k >= int64(len(h.partitions)) {
			return fmt.Errorf("partition %d has not been named", k)
		}
	}
	h.owners = append(h.owners, ownership{h.groupOf(e.g), int32(e.p), e.gen, append([]int64(nil), e.ks...), e.t})
	return nil
}

func (h *History) mark(e *event) {
	m := mark{partition: int32(e.k), process: int32(e.p), since: -1, at: e.t, Marks: Marks{Low: -1, Stable: -1, High: -1, Last: -1}}
	for _, f := range []struct {
		bit  field
		to   *int64
		from int64
	}{{fSince, &m.since, e.since}, {fLow, &m.Low, e.low}, {fStable, &m.Stable, e.stable}, {fHigh, &m.High, e.high}, {fLast, &m.Last, e.last}} {
		if e.has&f.bit != 0 {
			*f.to = f.from
		}
	}
	m.Committed = e.has&fC != 0 && e.c != 0
	h.marks = append(h.marks, m)
}
