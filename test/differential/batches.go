package differential

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"sluice/wire/batch"
)

// t0 is the time of records: the same for both brokers, and not near the present.
var t0 = time.Now().Add(-time.Hour).Truncate(time.Second).UnixMilli()

// batches builds records. A batch is an object; fields that are not named are those of a plain batch of one record:
//
//	n, codec, id, epoch, seq, tx, control, at, step, key, value, size   what is in it; with id it is idempotent
//	set: [{"at": byte, "bytes": width, "to": number}]             what is written over its header afterwards; the checksum is made anew
//	crc: true                                                    the checksum is wrong
//	garbage: true                                                what follows the header makes no sense, under a right checksum
//	cut: n                                                       so many bytes are missing at the end
//	pad: n                                                       so many zero bytes follow
func (e *env) batches(all []any) []byte {
	out := []byte{}
	for _, one := range all {
		o, _ := one.(object)
		out = append(out, e.batch(o)...)
	}
	return out
}

func (e *env) batch(o object) []byte {
	b := e.plainBatch(o)
	if o["garbage"] == true {
		for i := batch.HeaderBytes; i < len(b); i++ {
			b[i] = byte(i*37 + 11)
		}
	}
	for _, s := range list(o["set"]) {
		e.overwrite(b, s.(object))
	}
	seal(b)
	if o["crc"] == true {
		b[17] ^= 0xff
	}
	b = b[:max(0, len(b)-int(e.number(o["cut"])))]
	return append(b, make([]byte, e.number(o["pad"]))...)
}

func list(v tree) []any {
	all, _ := v.([]any)
	return all
}

func (e *env) plainBatch(o object) []byte {
	opt := batch.Options{Codec: batch.Codec(e.number(o["codec"])), Control: o["control"] == true, Transactional: o["tx"] == true}
	if id, ok := o["id"]; ok {
		opt.Idempotent, opt.ProducerID = true, e.number(id)
		opt.ProducerEpoch, opt.BaseSequence = int16(e.number(o["epoch"])), int32(e.number(o["seq"]))
	}
	count := int64(1)
	if n, ok := o["n"]; ok {
		count = e.number(n)
	}
	at, step := t0, int64(1)
	if v, ok := o["at"]; ok {
		at = e.number(v)
	}
	if v, ok := o["step"]; ok {
		step = e.number(v)
	}
	builder := batch.NewBuilder(opt)
	for i := range count {
		r := batch.Record{Timestamp: at + i*step, Key: []byte("k"), Value: []byte(fmt.Sprint("v", i))}
		if k, ok := o["key"]; ok {
			r.Key = e.bytes(k)
		}
		if v, ok := o["value"]; ok {
			r.Value = e.bytes(v)
		}
		builder.Add(r)
	}
	return builder.Bytes()
}

// overwrite writes a number over the header.
func (e *env) overwrite(b []byte, s object) {
	at, v := e.number(s["at"]), e.number(s["to"])
	switch e.number(s["bytes"]) {
	case 1:
		b[at] = byte(v)
	case 2:
		binary.BigEndian.PutUint16(b[at:], uint16(v))
	case 4:
		binary.BigEndian.PutUint32(b[at:], uint32(v))
	default:
		binary.BigEndian.PutUint64(b[at:], uint64(v))
	}
}

// seal writes the checksum.
func seal(b []byte) {
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
}
