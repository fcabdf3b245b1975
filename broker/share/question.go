package share

import (
	"fmt"

	"sluice/base"
	"sluice/wire/kbin"
	"sluice/wire/kerr"
)

// What nodes say to each other about share partitions: an operation, the share partition, and what belongs to the operation; back come a
// code and, for what was read, a state. Both begin with a version.

const questionVersion int8 = 0

const (
	opInitialize int8 = iota
	opRead
	opWrite
	opRemove
	opSummary
)

func encodeQuestion(k Key, command any) []byte {
	b := kbin.AppendInt8(nil, questionVersion)
	head := func(op int8) {
		b = kbin.AppendString(kbin.AppendInt8(b, op), true, k.Group)
		b = kbin.AppendInt32(kbin.AppendUUID(b, k.Topic), k.Index)
	}
	switch c := command.(type) {
	case *initialize:
		head(opInitialize)
		b = kbin.AppendInt64(kbin.AppendInt32(b, c.stateEpoch), int64(c.start))
	case *read:
		head(opRead)
		b = kbin.AppendInt32(b, c.leaderEpoch)
	case *write:
		head(opWrite)
		b = kbin.AppendInt32(kbin.AppendInt32(b, c.StateEpoch), c.LeaderEpoch)
		b = kbin.AppendInt32(kbin.AppendInt64(b, int64(c.Start)), c.Complete)
		b = kbin.AppendInt64(kbin.AppendInt64(b, int64(c.Writer)), int64(c.Seq))
		b = appendBatches(b, c.Batches)
	case *remove:
		head(opRemove)
	case *summary:
		head(opSummary)
	default:
		panic(fmt.Sprintf("BUG: %T is not asked of others", command))
	}
	return b
}

func decodeQuestion(b []byte) (k Key, command any, err error) {
	r := kbin.NewReader(b)
	if v := r.Int8(); v != questionVersion {
		r.Fail("version %d is not known", v)
	}
	op := r.Int8()
	k = Key{r.String(true), r.UUID(), r.Int32()}
	switch op {
	case opInitialize:
		command = &initialize{k, r.Int32(), base.Offset(r.Int64())}
	case opRead:
		command = &read{k, r.Int32()}
	case opWrite:
		w := Write{StateEpoch: r.Int32(), LeaderEpoch: r.Int32(), Start: base.Offset(r.Int64()), Complete: r.Int32()}
		w.Writer, w.Seq = uint64(r.Int64()), uint64(r.Int64())
		w.Batches = readBatches(&r)
		command = &write{k, w}
	case opRemove:
		command = &remove{k}
	case opSummary:
		command = &summary{k}
	default:
		r.Fail("operation %d is not known", op)
	}
	return k, command, r.Err()
}

func encodeAnswer(a result) []byte {
	b := kbin.AppendInt16(kbin.AppendInt8(nil, questionVersion), int16(a.code))
	b = kbin.AppendInt32(kbin.AppendInt32(b, a.state.StateEpoch), a.state.LeaderEpoch)
	b = kbin.AppendInt32(kbin.AppendInt64(b, int64(a.state.Start)), a.state.Complete)
	return appendBatches(b, a.state.Batches)
}

func decodeAnswer(b []byte) (a result, err error) {
	r := kbin.NewReader(b)
	if v := r.Int8(); v != questionVersion {
		r.Fail("version %d is not known", v)
	}
	a.code = kerr.Code(r.Int16())
	a.state = State{StateEpoch: r.Int32(), LeaderEpoch: r.Int32(), Start: base.Offset(r.Int64()), Complete: r.Int32()}
	a.state.Batches = readBatches(&r)
	return a, r.Err()
}

// EncodeEnd asks for the end of a partition.
func EncodeEnd(topic base.UUID, index int32) []byte {
	return kbin.AppendInt32(kbin.AppendUUID(kbin.AppendInt8(nil, questionVersion), topic), index)
}

// DecodeEnd reads the answer to it; -1 if it is not known.
func DecodeEnd(answer []byte) base.Offset {
	r := kbin.NewReader(answer)
	version, end := r.Int8(), base.Offset(r.Int64())
	if r.Err() != nil || version != questionVersion {
		return -1
	}
	return end
}

// ServeEnd answers the question of [EncodeEnd].
func (m *Manager) ServeEnd(question []byte) ([]byte, error) {
	r := kbin.NewReader(question)
	version, topic, index := r.Int8(), r.UUID(), r.Int32()
	if r.Err() != nil || version != questionVersion {
		return nil, base.Errorf(base.Invalid, "not a question for the end of a partition")
	}
	p, err := m.opt.Directory.Get(topic, index)
	if err != nil {
		return nil, base.Wrap(base.Unavailable, err)
	}
	_, hw, _, _ := p.Bounds()
	return kbin.AppendInt64(kbin.AppendInt8(nil, questionVersion), int64(hw)), nil
}
