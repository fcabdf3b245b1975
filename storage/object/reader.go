package object

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"sort"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// Index is the table of contents of one object. It is not changed once parsed.
type Index struct {
	Footer  Footer
	Entries []Entry // ascending by (stream, offset), and by position
}

// MemoryBytes is what the index costs in memory.
func (x *Index) MemoryBytes() int64 { return int64(len(x.Entries))*72 + 128 }

// Find returns the position in Entries of the first block of stream id that ends above from; found is false when there is none.
func (x *Index) Find(id base.StreamID, from base.Offset) (i int, found bool) {
	i = sort.Search(len(x.Entries), func(i int) bool {
		e := &x.Entries[i]
		return e.Stream > id || e.Stream == id && e.Range.End > from
	})
	return i, i < len(x.Entries) && x.Entries[i].Stream == id
}

// tailBytes is how much of an object's end is read at least in the hope that the index is in it: 1,023 blocks. Of a large one it is tailPart of the whole, up to tailMost: it may be of
// thousands of streams.
const (
	tailBytes = 64 << 10
	tailPart  = 256
	tailMost  = 1 << 20
)

// ReadIndex reads and checks the index of an object of the given size, with one GET or, where the index is very large, two. The error is
// NotFound when there is no such object and Corrupt when it is not what it should be.
func ReadIndex(ctx context.Context, s driver.Store, cluster base.UUID, id base.ObjectID, size int64) (*Index, error) {
	x, _, err := ReadFrom(ctx, s, cluster, id, size, size-min(max(tailBytes, size/tailPart), tailMost), nil)
	return x, err
}

// ReadFrom is ReadIndex by a GET of everything from pos on, into dst if it has room. It returns what it read as well: the blocks from there on, which are not verified, and the index.
func ReadFrom(ctx context.Context, s driver.Store, cluster base.UUID, id base.ObjectID, size, pos int64, dst []byte) (x *Index, tail []byte, err error) {
	key := Key(cluster, id)
	if size < HeaderBytes+FooterBytes {
		return nil, nil, base.Errorf(base.Corrupt, "object %s: %d bytes are too few", key, size)
	}
	pos = min(max(pos, 0), size-FooterBytes)
	if tail, err = s.Get(ctx, key, pos, size-pos, dst); err != nil {
		return nil, nil, err
	}
	f, err := ParseFooter(tail[len(tail)-FooterBytes:], size)
	if err != nil {
		return nil, nil, base.Wrap(base.KindOf(err), wrapKey(key, err))
	}
	if f.Cluster != cluster || f.ID != id {
		return nil, nil, base.Errorf(base.Corrupt, "object %s: says that it is %s of cluster %s", key, f.ID, f.Cluster)
	}
	var idx []byte
	if f.IndexPos >= pos {
		idx = tail[f.IndexPos-pos : len(tail)-FooterBytes]
	} else if idx, err = s.Get(ctx, key, f.IndexPos, f.IndexBytes(), nil); err != nil {
		return nil, nil, err
	}
	x, err = ParseIndex(f, idx)
	return x, tail, wrapKey(key, err)
}

// ParseIndex checks and decodes the index that f describes.
func ParseIndex(f Footer, b []byte) (*Index, error) {
	if int64(len(b)) != f.IndexBytes() || crc32.Checksum(b, castagnoli) != f.IndexCRC {
		return nil, base.Errorf(base.Corrupt, "index: wrong CRC or length")
	}
	x := &Index{Footer: f, Entries: make([]Entry, f.Entries)}
	pos := int64(HeaderBytes)
	for i := range x.Entries {
		e := decodeEntry(b[i*entryBytes:])
		x.Entries[i] = e
		if e.Pos != pos || uint64(e.Data)+trailerBytes > uint64(e.Size) || e.Range.Start < 0 || e.Range.Empty() || e.Records == 0 {
			return nil, base.Errorf(base.Corrupt, "index entry %d makes no sense: %+v", i, e)
		}
		if p := max(i-1, 0); i > 0 && (e.Stream < x.Entries[p].Stream || e.Stream == x.Entries[p].Stream && e.Range.Start < x.Entries[p].Range.End) {
			return nil, base.Errorf(base.Corrupt, "index entry %d is out of order", i)
		}
		pos += int64(e.Size)
	}
	if pos != f.IndexPos {
		return nil, base.Errorf(base.Corrupt, "index: blocks end at %d, the index begins at %d", pos, f.IndexPos)
	}
	return x, nil
}

// Item is one record of a block.
type Item struct {
	Range        base.OffsetRange
	MaxTimestamp int64
	Pos, Len     uint32 // of its bytes in the block
	Flags        uint8
}

// ItemMemoryBytes is what one Item costs in memory.
const ItemMemoryBytes = 40

// ParseBlock checks that b is the block that e describes and appends its records to items.
func ParseBlock(e *Entry, b []byte, items []Item) ([]Item, error) {
	if len(b) != int(e.Size) || len(b) < trailerBytes {
		return items, base.Errorf(base.Corrupt, "block at %d: %d bytes, want %d", e.Pos, len(b), e.Size)
	}
	if got := crc32.Checksum(b[:len(b)-4], castagnoli); got != e.CRC || le.Uint32(b[len(b)-4:]) != e.CRC {
		return items, base.Errorf(base.Corrupt, "block at %d: CRC %08x, want %08x", e.Pos, got, e.CRC)
	}
	t := b[len(b)-trailerBytes:]
	if le.Uint32(t) != trailerMagic || le.Uint32(t[4:]) != e.Records || base.StreamID(le.Uint64(t[8:])) != e.Stream ||
		base.Offset(le.Uint64(t[16:])) != e.Range.Start || base.StreamEpoch(le.Uint32(t[24:])) != e.Epoch || le.Uint32(t[28:]) != e.Data ||
		uint64(le.Uint32(t[32:]))+uint64(e.Data)+trailerBytes != uint64(e.Size) {
		return items, base.Errorf(base.Corrupt, "block at %d: is not the one in the index", e.Pos)
	}
	return parseTable(e, b[e.Data:len(b)-trailerBytes], items)
}

func parseTable(e *Entry, t []byte, items []Item) ([]Item, error) {
	if uint64(e.Records)*minTableEntry > uint64(len(t)) {
		return items, base.Errorf(base.Corrupt, "block at %d: table of %d bytes for %d records", e.Pos, len(t), e.Records)
	}
	first, end, pos, ts := len(items), e.Range.Start, uint64(0), int64(0)
	if cap(items)-len(items) < int(e.Records) {
		items = append(make([]Item, 0, len(items)+int(e.Records)), items...)
	}
	for range e.Records {
		gap, n1 := binary.Uvarint(t)
		count, n2 := binary.Uvarint(t[max(n1, 0):])
		size, n3 := binary.Uvarint(t[max(n1, 0)+max(n2, 0):])
		delta, n4 := binary.Varint(t[max(n1, 0)+max(n2, 0)+max(n3, 0):])
		n := n1 + n2 + n3 + n4
		start := end + base.Offset(gap)
		if n1 <= 0 || n2 <= 0 || n3 <= 0 || n4 <= 0 || n >= len(t) || count == 0 || count > 1<<31-1 || size == 0 ||
			gap > 1<<62 || start < end || start+base.Offset(count) > e.Range.End || size > uint64(e.Data)-pos {
			return items[:first], base.Errorf(base.Corrupt, "block at %d: bad table", e.Pos)
		}
		ts += delta
		end = start + base.Offset(count)
		items = append(items, Item{base.OffsetRange{Start: start, End: end}, ts, uint32(pos), uint32(size), t[n]})
		pos += size
		t = t[n+1:]
	}
	if len(t) != 0 || end != e.Range.End || pos != uint64(e.Data) {
		return items[:first], base.Errorf(base.Corrupt, "block at %d: table does not cover the block", e.Pos)
	}
	return items, nil
}

func wrapKey(key string, err error) error {
	if err == nil {
		return nil
	}
	return base.Errorf(base.KindOf(err), "object %s: %w", key, err)
}
