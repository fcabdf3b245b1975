package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"net"
	"sync/atomic"
	"time"
	"unsafe"

	"sluice/base"
	"sluice/wire/batch"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// fetchVersion is the version of Fetch that catchUp speaks.
const fetchVersion = 12

// reader is a consumer of one partition that drops what it gets as it comes, so that it costs little.
type reader struct {
	conn    net.Conn
	in      *bufio.Reader
	next    int64
	bytes   *atomic.Int64
	left    int   // bytes of the response that have not been read
	err     error // of reading
	refused error // what the broker said
}

// catchUp reads a partition of the cold topic from its beginning to its end, calls through, and begins anew, until ctx ends.
func catchUp(ctx context.Context, o *options, partition int32, bytes *atomic.Int64, through func()) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", o.addr)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	r := &reader{conn: conn, in: bufio.NewReaderSize(conn, 64<<10), bytes: bytes}
	for correlation := uint32(0); ; correlation++ {
		if _, err := conn.Write(fetchRequest(partition, r.next, int32(o.fetch), correlation)); err != nil {
			return err
		}
		hw, err := r.response()
		if kerr.CodeOf(err) == kerr.NotLeaderOrFollower { // it has only just started
			pause(ctx, 50*time.Millisecond)
			continue
		}
		if err != nil {
			return err
		}
		if r.next >= hw {
			r.next = 0
			through()
		}
	}
}

func fetchRequest(partition int32, offset int64, maxBytes int32, correlation uint32) []byte {
	req := &msg.FetchRequest{}
	req.SetDefaults()
	req.MaxWaitMs, req.MinBytes, req.MaxBytes, req.SessionEpoch = 500, 1, 50<<20, -1
	var p msg.FetchRequestFetchPartition
	p.SetDefaults()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, maxBytes
	req.Topics = []msg.FetchRequestFetchTopic{{Topic: coldTopic, Partitions: []msg.FetchRequestFetchPartition{p}}}
	name := "sluice-tail"
	header := msg.RequestHeader{APIKey: msg.KeyFetch, Version: fetchVersion, ClientID: &name}
	b := req.Append(header.Append(make([]byte, 4)), fetchVersion)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	binary.BigEndian.PutUint32(b[8:], correlation)
	return b
}

// response reads a response for one partition and returns the high watermark in it.
func (r *reader) response() (hw int64, err error) {
	r.left = 4
	r.left = int(binary.BigEndian.Uint32(r.take(4)))
	r.take(4)  // correlation id
	r.tags()   // of the header
	r.take(4)  // throttle time
	r.code()   // of the response
	r.take(4)  // session
	r.varint() // topics: one
	r.skip(r.varint() - 1)
	r.varint() // partitions: one
	r.take(4)  // index
	r.code()
	hw = int64(binary.BigEndian.Uint64(r.take(8)))
	r.take(16) // last stable offset, log start
	for n := r.varint(); n > 1; n-- {
		r.take(16)
		r.tags()
	}
	r.take(4) // preferred replica
	r.records(r.varint() - 1)
	r.skip(r.left)
	if r.err == nil && r.refused != nil {
		err, r.refused = r.refused, nil
		return hw, err
	}
	return hw, r.err
}

// records walks over the batches, of which the last may be cut.
func (r *reader) records(n int) {
	for n >= batch.HeaderBytes && r.err == nil {
		head := r.take(batch.HeaderBytes)
		size := 12 + int(binary.BigEndian.Uint32(head[8:]))
		if size > n {
			return
		}
		r.next = int64(binary.BigEndian.Uint64(head)) + int64(binary.BigEndian.Uint32(head[23:])) + 1
		r.skip(size - batch.HeaderBytes)
		r.bytes.Add(int64(size))
		n -= size
	}
}

var zeros [64]byte

// take returns the next bytes, valid until the next call; zeros after an error.
func (r *reader) take(n int) []byte {
	if r.err == nil && n > r.left {
		r.err = base.Errorf(base.Corrupt, "the response is too short")
	}
	if r.err == nil {
		var b []byte
		if b, r.err = r.in.Peek(n); r.err == nil {
			_, r.err = r.in.Discard(n)
			r.left -= n
			return b
		}
	}
	return zeros[:n]
}

func (r *reader) skip(n int) {
	if n <= 0 || r.err != nil {
		return
	}
	if n > r.left {
		r.err = base.Errorf(base.Corrupt, "the response is too short")
		return
	}
	_, r.err = r.in.Discard(n)
	r.left -= n
}

func (r *reader) varint() int {
	v := 0
	for shift := 0; shift < 35; shift += 7 {
		b := r.take(1)[0]
		v |= int(b&0x7f) << shift
		if b < 0x80 {
			break
		}
	}
	return v
}

func (r *reader) tags() {
	for n := r.varint(); n > 0 && r.err == nil; n-- {
		r.varint()
		r.skip(r.varint())
	}
}

// code notes an error of the broker; what follows it is read all the same.
func (r *reader) code() {
	if code := int16(binary.BigEndian.Uint16(r.take(2))); code != 0 {
		r.refused = &kerr.Error{Code: kerr.Code(code)}
	}
}

// addressOf is where a buffer begins, for its alignment.
func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
