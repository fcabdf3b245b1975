package audit

import (
	"fmt"
	"time"

	"sluice/base"
	"sluice/storage/object"
	"sluice/wire/batch"
)

// source is something to be read in parts.
type source struct {
	name string
	size int64
	read func(off, n int64) ([]byte, error)
}

// scanMax is how much of a damaged object is searched for blocks.
const scanMax = 256 << 20

// object shows an object: header, footer, blocks. A part that cannot be read does not keep the others from being shown.
func (in *inspector) object(src source) (*Page, error) {
	p := &Page{Title: "Object " + src.name}
	p.field("bytes", src.size)
	head, err := src.read(0, min(src.size, object.HeaderBytes))
	if err != nil {
		return nil, err
	}
	if m, err := object.ParseHeader(head); err != nil {
		p.damage("bytes [0, %d): %v", object.HeaderBytes, err)
	} else {
		p.field("id", m.ID)
		p.field("kind", kindName(m.Kind))
		p.field("cluster", m.Cluster)
		p.field("records from", fmt.Sprintf("the log of node %d, epoch %d", m.Node, m.NodeEpoch))
		p.field("upload", m.Upload)
	}
	entries, err := in.index(p, src)
	if err != nil {
		return nil, err
	}
	t := p.table("Blocks", "byte bytes stream epoch start end records data max_timestamp flags", in.rows)
	for i := range entries {
		e := &entries[i]
		t.row(e.Pos, e.Size, e.Stream, e.Epoch, e.Range.Start, e.Range.End, e.Records, e.Data, when(e.MaxTimestamp), e.Flags)
	}
	if in.opt.Deep {
		return p, in.batches(p, src, entries)
	}
	return p, nil
}

func kindName(k object.Kind) string {
	return [...]string{"stream-set object", "stream object", fmt.Sprintf("unknown kind %d", k)}[min(k, 2)]
}

// index returns the blocks of an object: those in its index, or, where that cannot be read, those that are found in its bytes.
func (in *inspector) index(p *Page, src source) ([]object.Entry, error) {
	x, err := readIndex(src)
	if err == nil {
		p.field("blocks", len(x.Entries))
		p.field("index", fmt.Sprintf("bytes [%d, %d)", x.Footer.IndexPos, x.Footer.IndexPos+x.Footer.IndexBytes()))
		p.field("footer cluster", x.Footer.Cluster)
		p.field("footer id", x.Footer.ID)
		return x.Entries, nil
	}
	if k := base.KindOf(err); k != base.Corrupt && k != base.OutOfRange {
		return nil, err
	}
	p.damage("footer or index: %v", err)
	b, err := src.read(0, min(src.size, scanMax))
	if err != nil {
		return nil, err
	}
	entries := object.Scan(b)
	p.field("blocks", fmt.Sprintf("%d found by searching the bytes", len(entries)))
	at := int64(object.HeaderBytes)
	for i := range entries {
		if e := &entries[i]; e.Pos != at {
			p.damage("bytes [%d, %d): no intact block", at, e.Pos)
		}
		at = entries[i].Pos + int64(entries[i].Size)
	}
	p.field("intact up to byte", at)
	return entries, nil
}

func readIndex(src source) (*object.Index, error) {
	if src.size < object.HeaderBytes+object.FooterBytes {
		return nil, base.Errorf(base.Corrupt, "%d bytes are too few", src.size)
	}
	b, err := src.read(src.size-object.FooterBytes, object.FooterBytes)
	if err != nil {
		return nil, err
	}
	f, err := object.ParseFooter(b, src.size)
	if err != nil {
		return nil, err
	}
	if b, err = src.read(f.IndexPos, f.IndexBytes()); err != nil {
		return nil, err
	}
	return object.ParseIndex(f, b)
}

// batches reads all blocks and lists what is in them.
func (in *inspector) batches(p *Page, src source, entries []object.Entry) error {
	t := p.table("Record batches", "byte stream start end records bytes codec producer max_timestamp what", in.rows)
	var items []object.Item
	for i := range entries {
		e := &entries[i]
		b, err := src.read(e.Pos, int64(e.Size))
		if err != nil {
			return err
		}
		if items, err = object.ParseBlock(e, b, items[:0]); err != nil {
			p.damage("bytes [%d, %d), stream %d, offsets %v: %v", e.Pos, e.Pos+int64(e.Size), e.Stream, e.Range, err)
			continue
		}
		for k := range items {
			it := &items[k]
			in.item(p, t, e, it, b[it.Pos:it.Pos+it.Len])
		}
	}
	return nil
}

// item lists one record of a block: record batches, or the record of a meta stream.
func (in *inspector) item(p *Page, t *Table, e *object.Entry, it *object.Item, data []byte) {
	at := e.Pos + int64(it.Pos)
	if in.opt.ShowMeta != nil {
		if what, err := in.opt.ShowMeta(data); err == nil {
			t.row(at, e.Stream, it.Range.Start, it.Range.End, "", len(data), "", "", when(it.MaxTimestamp), what)
			return
		}
	}
	for b, err := range batch.All(data) {
		if err == nil {
			err = b.Check()
		}
		if err != nil {
			t.row(at, e.Stream, it.Range.Start, it.Range.End, "", len(data), "", "", when(it.MaxTimestamp), "not a record batch")
			p.damage("byte %d, stream %d, offsets %v: %v", at, e.Stream, it.Range, err)
			return
		}
		what := ""
		switch {
		case b.IsControl():
			what = "control"
		case b.IsTransactional():
			what = "transactional"
		}
		t.row(at, e.Stream, b.BaseOffset(), b.LastOffset()+1, b.NumRecords(), len(b.Bytes()), b.Codec(), b.ProducerID(), when(b.MaxTimestamp()), what)
		at += int64(len(b.Bytes()))
	}
}

// when shows a time in Unix milliseconds.
func when(ms int64) string {
	if ms < 0 {
		return "none"
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
}
