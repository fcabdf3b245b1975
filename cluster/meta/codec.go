package meta

import (
	"encoding/binary"
	"slices"
	"sort"

	"sluice/base"
)

// coder encodes or decodes: every type has one code method which names its fields once, in order, so that the two directions
// cannot differ. Encoding appends to buf. Decoding consumes buf; the first mistake sticks in err and everything after it decodes
// as zero, with no allocation larger than what the remaining bytes could hold.
//
// Integers are unsigned varints, zigzag where they may be negative; strings and lists have a varint length before them.
type coder struct {
	buf     []byte
	reading bool
	version uint8 // of the entity being coded, for fields that were added later
	err     error
}

func (c *coder) fail(format string, args ...any) {
	if c.err == nil {
		c.err = base.Errorf(base.Corrupt, format, args...)
	}
	c.buf = nil
}

func (c *coder) uvarint(v uint64) uint64 {
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, v)
		return v
	}
	v, n := binary.Uvarint(c.buf)
	if n <= 0 {
		c.fail("number cut short or too long")
		return 0
	}
	c.buf = c.buf[n:]
	return v
}

// unsigned codes a field that is never negative. Decoding refuses what does not fit its type.
func unsigned[T ~uint8 | ~uint32 | ~uint64 | ~int32 | ~int64](c *coder, p *T) {
	if !c.reading {
		if *p < 0 {
			panic("BUG: meta: negative value in an unsigned field")
		}
		c.uvarint(uint64(*p))
		return
	}
	v := c.uvarint(0)
	*p = T(v)
	if uint64(*p) != v || *p < 0 {
		c.fail("number %d out of range", v)
		*p = 0
	}
}

// signed codes a field that may be negative.
func signed[T ~int32 | ~int64](c *coder, p *T) {
	if !c.reading {
		v := int64(*p)
		c.uvarint(uint64(v)<<1 ^ uint64(v>>63))
		return
	}
	u := c.uvarint(0)
	v := int64(u>>1) ^ -int64(u&1)
	*p = T(v)
	if int64(*p) != v {
		c.fail("number %d out of range", v)
		*p = 0
	}
}

func (c *coder) bool(p *bool) {
	var v uint8
	if *p {
		v = 1
	}
	c.uint8(&v)
	if v > 1 {
		c.fail("truth value %d", v)
	}
	if c.reading { // what is being written may be an image that others read
		*p = v == 1
	}
}

func (c *coder) uint8(p *uint8) {
	if !c.reading {
		c.buf = append(c.buf, *p)
		return
	}
	if len(c.buf) == 0 {
		c.fail("byte missing")
		*p = 0
		return
	}
	*p, c.buf = c.buf[0], c.buf[1:]
}

// enum codes a byte that must not be above last.
func enum[T ~uint8](c *coder, p *T, last T) {
	v := uint8(*p)
	c.uint8(&v)
	if T(v) > last {
		c.fail("value %d where at most %d is known", v, last)
		v = 0
	}
	if c.reading {
		*p = T(v)
	}
}

func (c *coder) uuid(p *base.UUID) {
	if !c.reading {
		c.buf = append(c.buf, p[:]...)
		return
	}
	if len(c.buf) < len(p) {
		c.fail("uuid cut short")
		*p = base.UUID{}
		return
	}
	copy(p[:], c.buf)
	c.buf = c.buf[len(p):]
}

func (c *coder) secret(p *[32]byte) {
	if !c.reading {
		c.buf = append(c.buf, p[:]...)
		return
	}
	if len(c.buf) < len(p) {
		c.fail("secret cut short")
		*p = [32]byte{}
		return
	}
	copy(p[:], c.buf)
	c.buf = c.buf[len(p):]
}

func (c *coder) string(p *string) {
	if !c.reading {
		if len(*p) > MaxString {
			panic("BUG: meta: string too long")
		}
		c.uvarint(uint64(len(*p)))
		c.buf = append(c.buf, *p...)
		return
	}
	n := c.uvarint(0)
	if n > uint64(len(c.buf)) || n > MaxString {
		c.fail("string of %d bytes where %d are left", n, len(c.buf))
		*p = ""
		return
	}
	*p, c.buf = string(c.buf[:n]), c.buf[n:]
}

// list codes a slice; each element takes at least min bytes. An empty list decodes as nil.
func list[T any](c *coder, p *[]T, min int, each func(*T)) {
	n := c.uvarint(uint64(len(*p)))
	if c.reading {
		if n > uint64(len(c.buf)/min) {
			c.fail("list of %d elements where %d bytes are left", n, len(c.buf))
			n = 0
		}
		*p = nil
		if n > 0 {
			*p = make([]T, n)
		}
	}
	for i := range *p {
		if c.err != nil {
			return
		}
		each(&(*p)[i])
	}
}

// stringMap codes a map in the order of its keys. An empty map decodes as nil.
func (c *coder) stringMap(p *map[string]string) {
	type pair struct{ k, v string }
	var pairs []pair
	if !c.reading {
		for k, v := range *p {
			pairs = append(pairs, pair{k, v})
		}
		sort.Slice(pairs, func(i, j int) bool { return pairs[i].k < pairs[j].k })
	}
	list(c, &pairs, 2, func(e *pair) { c.string(&e.k); c.string(&e.v) })
	if !c.reading {
		return
	}
	*p = nil
	if len(pairs) > 0 {
		*p = make(map[string]string, len(pairs))
		for _, e := range pairs {
			(*p)[e.k] = e.v
		}
	}
}

func (c *coder) nodeRef(p *NodeRef) {
	signed(c, &p.ID)
	signed(c, &p.Epoch)
}

func (c *coder) partitionID(p *PartitionID) {
	c.uuid(&p.Topic)
	unsigned(c, &p.Index)
}

func (c *coder) topicRef(p *TopicRef) {
	c.uuid(&p.ID)
	c.string(&p.Name)
}

func (c *coder) endpoints(p *[]Endpoint) {
	list(c, p, 3, func(e *Endpoint) {
		c.string(&e.Name)
		c.string(&e.Host)
		signed(c, &e.Port)
	})
}

func (c *coder) nodeIDs(p *[]base.NodeID) {
	list(c, p, 1, func(e *base.NodeID) { signed(c, e) })
}

func (c *coder) objectIDs(p *[]base.ObjectID) {
	list(c, p, 1, func(e *base.ObjectID) { unsigned(c, e) })
}

func (c *coder) skips(p *[]skip) {
	list(c, p, 2, func(e *skip) {
		unsigned(c, &e.index)
		enum(c, &e.verdict, VerdictDeleted)
	})
}

// frame wraps what body codes: type, version, length, bytes. A decoder gets exactly the body's bytes and must use them up.
func appendFrame(dst []byte, typ, version uint8, body func(*coder)) []byte {
	dst = append(dst, typ, version)
	at := len(dst)
	c := coder{buf: append(dst, 0), version: version} // most bodies have less than 128 bytes
	body(&c)
	n := len(c.buf) - at - 1
	if n < 0x80 {
		c.buf[at] = byte(n)
		return c.buf
	}
	head := binary.AppendUvarint(nil, uint64(n))
	c.buf = slices.Insert(c.buf, at+1, head[1:]...)
	c.buf[at] = head[0]
	return c.buf
}

func cutFrame(b []byte) (typ, version uint8, body, rest []byte, err error) {
	if len(b) < 3 {
		return 0, 0, nil, nil, base.Errorf(base.Corrupt, "frame of %d bytes", len(b))
	}
	n, k := binary.Uvarint(b[2:])
	if k <= 0 || n > uint64(len(b)-2-k) {
		return 0, 0, nil, nil, base.Errorf(base.Corrupt, "frame of type %d: length does not fit the %d bytes left", b[0], len(b)-2)
	}
	at := 2 + k
	return b[0], b[1], b[at : at+int(n)], b[at+int(n):], nil
}

// decodeBody runs code over all of b. A body may be longer than the reader knows only if it was written by a newer version.
func decodeBody(what string, b []byte, version, known uint8, code func(*coder)) error {
	if version == 0 || version > known {
		return base.Errorf(base.Corrupt, "%s has version %d, this program knows up to %d: it was written by a newer one", what, version, known)
	}
	c := coder{buf: b, reading: true, version: version}
	code(&c)
	if c.err != nil {
		return base.Errorf(base.Corrupt, "%s: %w", what, c.err)
	}
	if len(c.buf) != 0 {
		return base.Errorf(base.Corrupt, "%s: %d bytes too many", what, len(c.buf))
	}
	return nil
}
