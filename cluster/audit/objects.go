package audit

import (
	"context"
	"fmt"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/object"
	"sluice/wire/batch"
)

// readBytes is how much of an object is read at once, unless one block is larger.
const readBytes = 4 << 20

// seen is what a look at one object gave.
type seen struct {
	findings []Finding
	blocks   int64
	batches  int64
	records  int64
	bytes    int64 // read
}

// object looks at one committed object. An error is the store's; what is wrong with the object is in seen. The size in the listing, negative
// if it is not listed, spares a request for what is not as long as it should be.
func (v *verifier) object(ctx context.Context, c *catalogue, o *meta.Object, listed int64) (s seen, err error) {
	key := c.key(o.ID)
	fail := func(k Kind, format string, args ...any) {
		s.findings = append(s.findings, finding(k, format, args...).about(o.ID).at(key, v.uses(c, o.ID)))
	}
	if listed < 0 {
		info, err := v.opt.Bucket.Stat(ctx, key)
		if base.IsKind(err, base.NotFound) {
			fail(MissingObject, "%d bytes that %d ranges need are not there", o.Size, o.Refs)
			return s, nil
		} else if err != nil {
			return s, err
		}
		listed = info.Size
	}
	if listed != o.Size {
		fail(SizeMismatch, "it has %d bytes, the metadata says %d", listed, o.Size)
		return s, nil
	}
	if err := v.limit.wait(ctx, min(o.Size, 64<<10)); err != nil {
		return s, err
	}
	x, err := object.ReadIndex(ctx, v.opt.Bucket, c.img.ClusterID(), o.ID, o.Size)
	switch base.KindOf(err) {
	case base.NotFound:
		fail(MissingObject, "%d bytes that %d ranges need are not there", o.Size, o.Refs)
		return s, nil
	case base.Corrupt, base.OutOfRange:
		fail(DamagedObject, "%v", err)
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.bytes = x.Footer.IndexBytes() + object.FooterBytes
	s.findings = append(s.findings, c.checkIndex(o, x)...)
	if !v.opt.Deep {
		return s, nil
	}
	err = v.blocks(ctx, c, o, x, &s)
	if base.IsKind(err, base.NotFound) { // since its index was read
		fail(MissingObject, "%d bytes that %d ranges need are not there", o.Size, o.Refs)
		return s, nil
	}
	return s, err
}

// uses names the first ranges that an object holds, for people.
func (v *verifier) uses(c *catalogue, id base.ObjectID) string {
	const most = 3
	text, all := "", c.ranges[id]
	for i, h := range all {
		if i == most {
			return fmt.Sprintf("%s and %d more", text, len(all)-most)
		}
		if i > 0 {
			text += "; "
		}
		text += c.where(h.stream, h.rng)
	}
	return text
}

// blocks reads the header and all blocks of an object, several at a time.
func (v *verifier) blocks(ctx context.Context, c *catalogue, o *meta.Object, x *object.Index, s *seen) error {
	head, err := v.opt.Bucket.Get(ctx, c.key(o.ID), 0, object.HeaderBytes, nil)
	if err != nil {
		return err
	}
	if m, err := object.ParseHeader(head); err != nil || m.Cluster != x.Footer.Cluster || m.ID != o.ID || m.Kind != x.Footer.Kind {
		s.findings = append(s.findings, finding(DamagedObject, "the header does not belong to the footer: %+v, %v", m, err).about(o.ID).at(c.key(o.ID), ""))
	}
	var buf []byte
	var items []object.Item
	for i := 0; i < len(x.Entries); {
		first, size := i, int64(0)
		for ; i < len(x.Entries) && (i == first || size+int64(x.Entries[i].Size) <= readBytes); i++ {
			size += int64(x.Entries[i].Size)
		}
		if err := v.limit.wait(ctx, size); err != nil {
			return err
		}
		if buf, err = v.opt.Bucket.Get(ctx, c.key(o.ID), x.Entries[first].Pos, size, buf[:0]); err != nil {
			return err
		}
		s.bytes += size
		for at := int64(0); first < i; first++ {
			e := &x.Entries[first]
			items = v.block(c, o.ID, e, buf[at:at+int64(e.Size)], items[:0], s)
			at += int64(e.Size)
		}
	}
	return nil
}

// block checks one block, its records and, where it has to do with a partition, what is in them. It returns items for the next one.
func (v *verifier) block(c *catalogue, id base.ObjectID, e *object.Entry, b []byte, items []object.Item, s *seen) []object.Item {
	s.blocks++
	fail := func(f Finding) {
		if f.rng.Empty() {
			f = f.of(e.Stream, e.Range)
		}
		s.findings = append(s.findings, f.about(id).at(c.key(id), fmt.Sprintf("block at byte %d, %s", e.Pos, c.where(f.stream, f.rng))))
	}
	items, err := object.ParseBlock(e, b, items)
	if err != nil {
		fail(finding(CRCError, "%v", err))
		return items
	}
	p, ranges := c.profile(e.Stream), ofStream(c.ranges[id], e.Stream)
	for _, f := range checkItems(ranges, &p, e, items) {
		fail(f)
	}
	for i := range items {
		it := &items[i]
		data := b[it.Pos : it.Pos+it.Len]
		switch p.role {
		case roleData:
			n, records, err := checkBatches(it.Range, data)
			s.batches, s.records = s.batches+n, s.records+records
			if err != nil {
				fail(finding(BadRecord, "%v", err).of(e.Stream, it.Range))
			}
		case roleMeta:
			if v.opt.CheckMeta == nil {
				continue
			}
			if err := v.opt.CheckMeta(data); err != nil {
				fail(finding(BadRecord, "%v", err).of(e.Stream, it.Range))
			}
		}
	}
	return items
}

// checkBatches decodes the record batches of one record of a data stream, which has the offsets of r.
func checkBatches(r base.OffsetRange, data []byte) (batches, records int64, err error) {
	at := r.Start
	for b, err := range batch.All(data) {
		if err == nil {
			err = b.Check()
		}
		if err != nil {
			return batches, records, err
		}
		first, end := base.Offset(b.BaseOffset()), base.Offset(b.LastOffset())+1
		if first < at || end > r.End {
			return batches, records, base.Errorf(base.Corrupt, "a record batch with offsets [%d, %d) where %v are left", first, end, base.OffsetRange{Start: at, End: r.End})
		}
		batches++
		for _, err := range b.Records(batch.Limits{}) {
			if err != nil {
				return batches, records, err
			}
			records++
		}
		at = end
	}
	if at != r.End {
		return batches, records, base.Errorf(base.Corrupt, "the record batches end at offset %d, the record at %d", at, r.End)
	}
	return batches, records, nil
}
