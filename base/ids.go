package base

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
)

// NodeID names a broker for as long as the cluster lives. The controller hands it out; it is the broker id Kafka clients see.
type NodeID int32

// NoNode stands where there is no node: a partition without a leader, a group without a coordinator.
const NoNode NodeID = -1

func (n NodeID) String() string { return strconv.FormatInt(int64(n), 10) }

// NodeEpoch is the fencing token of one incarnation of a broker. The controller issues it, larger each time; it never comes
// from a clock. Zero is no epoch.
type NodeEpoch int64

func (e NodeEpoch) String() string { return strconv.FormatInt(int64(e), 10) }

// StreamID names a stream for ever; ids are not reused.
type StreamID uint64

func (s StreamID) String() string { return strconv.FormatUint(uint64(s), 10) }

// StreamEpoch is the fencing token of one ownership of a stream. It is also the partition's leader epoch, hence 32 bits.
type StreamEpoch int32

func (e StreamEpoch) String() string { return strconv.FormatInt(int64(e), 10) }

// Offset is a position in a stream: the number of a record, counted from 0. A partition's Kafka offsets are the stream offsets
// of its data stream.
type Offset int64

func (o Offset) String() string { return strconv.FormatInt(int64(o), 10) }

// OffsetRange is the half-open range [Start, End) of stream offsets.
type OffsetRange struct{ Start, End Offset }

// Empty reports whether the range holds no offset.
func (r OffsetRange) Empty() bool { return r.End <= r.Start }

// Contains reports whether o lies in the range.
func (r OffsetRange) Contains(o Offset) bool { return r.Start <= o && o < r.End }

func (r OffsetRange) String() string { return fmt.Sprintf("[%d, %d)", r.Start, r.End) }

// ObjectID names an uploaded object. Ids are handed out by the controller, ascending, and are never reused, so a key is never
// written with other content.
type ObjectID uint64

func (o ObjectID) String() string { return fmt.Sprintf("%016x", uint64(o)) }

// WALPos is a position in one node epoch's WAL: the sequence number of a block, counted from 0. As the end of a range it is the
// number of the first block that is not in it.
type WALPos uint64

func (p WALPos) String() string { return strconv.FormatUint(uint64(p), 10) }

// MetaPos is a position in the metadata: the number of records the cluster's image has applied since its creation.
type MetaPos uint64

func (p MetaPos) String() string { return strconv.FormatUint(uint64(p), 10) }

// UUID is a random 128-bit identifier, printed as Kafka prints them: unpadded URL-safe base64. It is the type of topic ids, of
// the cluster id and of a broker's incarnation.
type UUID [16]byte

// NewUUID draws a random version 4 UUID whose text form does not start with a dash, as Kafka's do, so that it can be given on a
// command line.
func NewUUID() UUID {
	for {
		var u UUID
		if _, err := rand.Read(u[:]); err != nil {
			panic("BUG: no randomness: " + err.Error())
		}
		u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
		if u.String()[0] != '-' {
			return u
		}
	}
}

// IsZero reports whether u is the zero UUID, which stands for "none" in Kafka's messages.
func (u UUID) IsZero() bool { return u == UUID{} }

func (u UUID) String() string { return base64.RawURLEncoding.EncodeToString(u[:]) }

// Hex returns the 32 hexadecimal digits of u, for object keys and file names.
func (u UUID) Hex() string { return hex.EncodeToString(u[:]) }

// ParseUUID is the inverse of String. The error has kind Invalid.
func ParseUUID(s string) (UUID, error) {
	var u UUID
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != len(u) {
		return u, Errorf(Invalid, "uuid %q: want 22 characters of URL-safe base64", s)
	}
	copy(u[:], b)
	return u, nil
}
