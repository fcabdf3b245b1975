package etcd

import (
	"encoding/binary"
	"fmt"
	"time"

	"sluice/base"
)

// head describes an object. As the value of its key it is, big-endian: u8 version (1), u64 size, i64 milliseconds of the time of the put
// by the writer's clock, u32 bytes of a part, 16 bytes id of the parts (zero: the body is under its own key).
type head struct {
	size     int64
	modified int64
	part     uint32
	id       base.UUID
}

const (
	headBytes   = 1 + 8 + 8 + 4 + 16
	headVersion = 1
)

func (h head) append(dst []byte) []byte {
	dst = append(dst, headVersion)
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.size))
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.modified))
	dst = binary.BigEndian.AppendUint32(dst, h.part)
	return append(dst, h.id[:]...)
}

func decodeHead(b []byte) (h head, err error) {
	if len(b) != headBytes || b[0] != headVersion {
		return h, base.Errorf(base.Corrupt, "a head of %d bytes that is none of version %d", len(b), headVersion)
	}
	h.size = int64(binary.BigEndian.Uint64(b[1:]))
	h.modified = int64(binary.BigEndian.Uint64(b[9:]))
	h.part = binary.BigEndian.Uint32(b[17:])
	h.id = base.UUID(b[21:])
	if h.size < 0 || h.part == 0 || h.id.IsZero() && h.size > int64(h.part) {
		return h, base.Errorf(base.Corrupt, "a head of %d bytes in parts of %d", h.size, h.part)
	}
	return h, nil
}

// time returns when the object was put.
func (h head) time() time.Time { return time.UnixMilli(h.modified) }

// The three places of an object, see the package documentation.

func (s *Store) headKey(key string) []byte { return []byte(s.prefix + "o/" + key) }
func (s *Store) bodyKey(key string) []byte { return []byte(s.prefix + "b/" + key) }

func (s *Store) partKey(key string, id base.UUID, n int) []byte {
	return fmt.Appendf(nil, "%sp/%s\x00%s\x00%04x", s.prefix, key, id.Hex(), n)
}

// partsOf returns the range of keys of an object's parts: of all of them, or of those before or after those of an id.
func (s *Store) partsOf(key string) (from, to []byte) {
	p := s.prefix + "p/" + key
	return []byte(p + "\x00"), []byte(p + "\x01")
}

func (s *Store) partsBefore(key string, id base.UUID) (from, to []byte) {
	from, _ = s.partsOf(key)
	return from, []byte(string(from) + id.Hex())
}

func (s *Store) partsAfter(key string, id base.UUID) (from, to []byte) {
	all, to := s.partsOf(key)
	return []byte(string(all) + id.Hex() + "\x01"), to
}

// after returns the end of the range of keys that start with prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	end[len(end)-1]++ // never 0xff: keys and separators are ASCII
	return end
}

// What the gateway takes and gives; byte slices are base64 and 64-bit numbers are strings in its JSON.

type rangeRequest struct {
	Key      []byte `json:"key"`
	RangeEnd []byte `json:"range_end,omitempty"`
	Limit    int64  `json:"limit,omitempty,string"`
}

type putRequest struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

type deleteRequest struct {
	Key      []byte `json:"key"`
	RangeEnd []byte `json:"range_end,omitempty"`
}

// request is one operation of a transaction: one of the three.
type request struct {
	Range  *rangeRequest  `json:"request_range,omitempty"`
	Put    *putRequest    `json:"request_put,omitempty"`
	Delete *deleteRequest `json:"request_delete_range,omitempty"`
}

// compare is a condition on the revision that created a key, which is 0 when there is no such key.
type compare struct {
	Result   string `json:"result"` // EQUAL, GREATER
	Target   string `json:"target"` // CREATE
	Key      []byte `json:"key"`
	Revision int64  `json:"create_revision,string"`
}

func absent(key []byte) compare  { return compare{Result: "EQUAL", Target: "CREATE", Key: key} }
func present(key []byte) compare { return compare{Result: "GREATER", Target: "CREATE", Key: key} }

type txnRequest struct {
	Compare []compare `json:"compare,omitempty"`
	Success []request `json:"success,omitempty"`
	Failure []request `json:"failure,omitempty"`
}

type header struct {
	Cluster string `json:"cluster_id"`
}

type pair struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

type rangeResponse struct {
	Header header `json:"header"`
	KVs    []pair `json:"kvs"`
	More   bool   `json:"more"`
}

type txnResponse struct {
	Header    header `json:"header"`
	Succeeded bool   `json:"succeeded"`
	Responses []struct {
		Range *rangeResponse `json:"response_range"`
	} `json:"responses"`
}

type authRequest struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

type authResponse struct {
	Header header `json:"header"`
	Token  string `json:"token"`
}

// failure is the body of an answer that is not 200. Versions before 3.6 have the text under error too.
type failure struct {
	Code    int    `json:"code"` // of gRPC
	Message string `json:"message"`
	Error   string `json:"error"`
}

func (f failure) text() string {
	if f.Message != "" {
		return f.Message
	}
	return f.Error
}
