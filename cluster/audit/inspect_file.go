package audit

import (
	"bytes"
	"fmt"
	"os"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/cluster/metalog"
	"sluice/storage/object"
	"sluice/storage/slotlog"
	"sluice/storage/wal/block"
	"sluice/storage/wal/file"
)

// file shows a local file.
func (in *inspector) file(path string) (*Page, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, base.Wrap(base.Invalid, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return in.bytes(source{name: path, size: info.Size(), read: func(off, n int64) ([]byte, error) {
		b := make([]byte, n)
		_, err := f.ReadAt(b, off)
		return b, err
	}})
}

// wholeMax bounds what is read at once of anything that is no object and no segment.
const wholeMax = 1 << 30

// bytes shows something by what it begins with.
func (in *inspector) bytes(src source) (*Page, error) {
	head, err := src.read(0, min(src.size, 16))
	if err != nil {
		return nil, err
	}
	switch {
	case object.IsObject(head) || ParseKey(in.opt.Name, src.name).Class == Object:
		return in.object(src)
	case bytes.HasPrefix(head, []byte("SLUICEWS")):
		return in.segment(src)
	}
	b, err := src.read(0, min(src.size, wholeMax))
	if err != nil {
		return nil, err
	}
	p := &Page{Title: src.name}
	p.field("bytes", src.size)
	switch {
	case slotlog.IsSlot(b):
		in.slotBytes(p, b)
	case metalog.IsSnapshot(b):
		in.snapshotBytes(p, b)
	case bytes.HasPrefix(b, []byte("SLUICEWD")):
		identity(p, b)
	case bytes.HasPrefix(b, []byte("SLUICEWT")):
		token(p, b)
	case bytes.HasPrefix(b, []byte("SLUICEWL")):
		seal(p, b)
	case bytes.HasPrefix(b, []byte("SLUICEWB")):
		in.walBlock(p, b, 0)
	case bytes.HasPrefix(b, []byte("sluice metadata log\n")):
		p.field("what", "the mark that says where the metadata log is")
		p.field("text", string(b[:min(len(b), 1000)]))
	default:
		p.field("begins with", fmt.Sprintf("%q", head))
		p.damage("nothing that Sluice writes begins so")
	}
	return p, nil
}

func (in *inspector) slotBytes(p *Page, b []byte) {
	l, s, err := slotlog.Parse(b)
	p.field("what", "slot")
	p.field("log", l.Name)
	p.field("cluster", l.Cluster)
	p.field("epoch", s.Epoch)
	p.field("slot", s.Slot)
	p.field("writer", s.Writer)
	p.field("records", s.Records)
	if err != nil {
		p.damage("%v; what follows is what it seems to hold", err)
	}
	switch {
	case s.Seal != nil:
		p.field("seal", "the log's epoch ends here")
		p.field("sealed by", s.Seal.Who)
		p.field("because", s.Seal.Why)
		p.field("epoch to come", s.Seal.NewEpoch)
	case len(l.Name) > 4 && l.Name[:4] == "wal/":
		in.walBlock(p, s.Payload, int64(len(b)-len(s.Payload)))
	default:
		in.records(p, s)
	}
}

// records lists the records of a slot of the metadata log.
func (in *inspector) records(p *Page, s slotlog.Slot) {
	info, recs, err := metalog.DecodeSlot(s)
	if err != nil {
		p.damage("%v", err)
	}
	p.field("first record", info.Pos)
	if info.Starts && s.Epoch > 0 {
		p.field("epoch before ends at", info.PrevEnd)
	}
	t := p.table("Records", "position type content", in.rows)
	for i, r := range recs {
		t.row(info.Pos+base.MetaPos(i), meta.RecordName(r), describe(r))
	}
}

func (in *inspector) snapshotBytes(p *Page, b []byte) {
	img, at, err := metalog.DecodeSnapshot(b)
	p.field("what", "snapshot of the metadata")
	p.field("after slot", at)
	if err != nil {
		p.damage("%v", err)
		return
	}
	q := imagePage(img, in.rows)
	p.Fields, p.Tables = append(p.Fields, q.Fields...), q.Tables
}

func identity(p *Page, b []byte) {
	p.field("what", "header of a WAL directory")
	for i := range 2 {
		at := i * file.StampSlot
		if at >= len(b) {
			p.damage("the file ends at byte %d", len(b))
			return
		}
		id, generation, err := file.ParseIdentity(b[at:])
		if err != nil {
			if !allZero(b[at:min(len(b), at+file.StampSlot)]) {
				p.damage("byte %d: %v", at, err)
			}
			continue
		}
		p.field(fmt.Sprintf("slot %d", i), fmt.Sprintf("generation %d, cluster %s, node %d, incarnation %s", generation, id.Cluster, id.Node, id.Incarnation))
	}
}

func token(p *Page, b []byte) {
	t, err := file.ParseToken(b)
	p.field("what", "token of a WAL")
	if err != nil {
		p.damage("%v: its writer takes itself for fenced", err)
		return
	}
	p.field("cluster", t.Cluster)
	p.field("node epoch", t.Victim)
	p.field("made with nonce", t.Nonce)
	p.field("fenced", t.Marked)
	if t.Marked {
		p.field("by", t.By)
	}
}

func seal(p *Page, b []byte) {
	end, who, err := file.ParseSeal(b)
	p.field("what", "seal of a WAL")
	if err != nil {
		p.damage("%v", err)
		return
	}
	p.field("end", end)
	p.field("sealed by", who)
}

func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// walBlock shows one WAL block that lies at byte at of something larger.
func (in *inspector) walBlock(p *Page, b []byte, at int64) {
	h, err := block.Parse(b)
	if err != nil {
		p.damage("byte %d: %v", at, err)
		return
	}
	p.field("block", h.Pos)
	p.field("block of", fmt.Sprintf("cluster %s, node %d, epoch %d", h.Cluster, h.Node, h.Epoch))
	p.field("durable below", h.Durable)
	if h.Kind == block.KindEnd {
		p.field("end", "the log was closed here")
		return
	}
	if h.Size() > len(b) {
		p.damage("byte %d: the block has %d bytes, and only %d are there", at, h.Size(), len(b))
		return
	}
	records, err := block.Records(&h, b[:h.Size()])
	if err != nil {
		p.damage("byte %d: %v", at, err)
	}
	t := p.table("Records", "stream epoch start end bytes max_timestamp flags", in.rows)
	for i := range records {
		r := &records[i]
		t.row(r.Stream, r.Epoch, r.Base, r.End(), len(r.Data), when(r.MaxTimestamp), r.Flags)
	}
}

// segment shows a segment of a WAL in files: its stamps, and the blocks of its present use.
func (in *inspector) segment(src source) (*Page, error) {
	p := &Page{Title: "Segment " + src.name}
	p.field("bytes", src.size)
	head, err := src.read(0, min(src.size, file.SegmentStart))
	if err != nil {
		return nil, err
	}
	head = append(head, make([]byte, file.SegmentStart-len(head))...)
	newest := newestStamp(head, func(at int, err error) { p.damage("byte %d: %v", at, err) })
	if newest.Generation == 0 {
		p.damage("both stamps are unreadable: which use this is, is not known")
	}
	p.field("cluster", newest.Cluster)
	p.field("node epoch", newest.Victim)
	p.field("number", newest.Segment)
	p.field("use of the file", newest.Generation)
	p.field("durable when stamped", newest.Durable)
	return p, in.segmentBlocks(p, src, newest)
}

// newestStamp reads both stamps of a segment, and tells damaged of one that cannot be read.
func newestStamp(head []byte, damaged func(at int, err error)) (newest file.Stamp) {
	for i := range 2 {
		s, err := file.ParseStamp(head[i*file.StampSlot:])
		switch {
		case err == nil && s.Generation > newest.Generation:
			newest = s
		case err != nil && !allZero(head[i*file.StampSlot:(i+1)*file.StampSlot]):
			damaged(i*file.StampSlot, err)
		}
	}
	return newest
}

// segmentBlocks goes from block to block; where there is none, it searches for the next one of the same use.
func (in *inspector) segmentBlocks(p *Page, src source, s file.Stamp) error {
	t := p.table("Blocks", "byte block kind durable records bytes what", in.rows)
	lost := int64(-1)
	prev, linked := uint32(0), false
	for at := int64(file.SegmentStart); at+block.HeaderBytes <= src.size; {
		b, err := src.read(at, block.HeaderBytes)
		if err != nil {
			return err
		}
		h, err := block.Parse(b)
		if err != nil || s.Generation > 0 && (h.Segment != s.Segment || !h.Of(s.Cluster, s.Victim)) || at+int64(h.Size()) > src.size {
			if lost < 0 {
				lost = at
			}
			at += block.Align
			continue
		}
		if lost >= 0 {
			p.damage("bytes [%d, %d): no block of this use, before block %d", lost, at, h.Pos)
			lost, linked = -1, false
		}
		what, kind := "", "records"
		if linked && h.Prev != prev {
			what = "does not follow the block before it"
		}
		if h.Kind == block.KindEnd {
			kind = "end"
		} else if b, err = src.read(at, int64(h.Size())); err != nil {
			return err
		} else if _, err := block.Records(&h, b); err != nil {
			what = err.Error()
			p.damage("byte %d, block %d: %v", at, h.Pos, err)
		}
		t.row(at, h.Pos, kind, h.Durable, h.Records, h.Size(), what)
		at, prev, linked = at+int64(h.Padded()), h.CRC, true
	}
	return nil
}
