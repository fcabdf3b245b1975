package file

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
	"unsafe"

	"sluice/base"
	"sluice/storage/wal/block"
	"sluice/storage/wal/disk"
)

// fullRetry is how long the preparer waits before it tries again to make a segment on a full disk. Trimmed segments are reused meanwhile.
const fullRetry = 2 * time.Second

// zeroBytes is written at a time when a segment is made.
const zeroBytes = 1 << 20

// preparer makes segments ahead of need, and stamps trimmed ones for their next use.
type preparer struct {
	cfg     Config
	dir     string
	cluster base.UUID
	victim  block.Victim
	space   *space
	watch   *watch
	durable func() base.WALPos
	fail    func(error)
	log     *slog.Logger

	nextSeq  uint64
	nextName int
	zeros    []byte
}

// run is the preparer's goroutine. It ends when the space has failed or was closed.
func (p *preparer) run() {
	fullUntil := time.Time{}
	retry := time.NewTimer(fullRetry)
	retry.Stop()
	defer retry.Stop()
	for {
		w := p.space.next(time.Now().After(fullUntil))
		err := error(nil)
		switch {
		case w.closed:
			return
		case w.remove != nil:
			err = p.watched(func() error { return p.remove(w.remove) })
		case w.recycle != nil:
			err = p.recycle(w.recycle)
		case w.create:
			err = p.create()
		default:
			select {
			case <-p.space.kick:
			case <-retry.C:
			}
			continue
		}
		if isFull(err) && w.create {
			p.log.Warn("no room on the disk for another WAL segment; the WAL stays smaller than its capacity until there is", "dir", p.cfg.in(p.dir), "err", err)
			fullUntil = time.Now().Add(fullRetry)
			retry.Reset(fullRetry + time.Millisecond)
		} else if err != nil {
			p.fail(base.Errorf(base.Failed, "prepare WAL segment: %w", err))
			return
		}
	}
}

// watched runs one operation of the disk; see watch.
func (p *preparer) watched(run func() error) error { return p.watch.do(slotPrepare, run) }

func (p *preparer) recycle(seg *segment) error {
	if err := p.stampNext(seg); err != nil {
		return err
	}
	p.space.add(seg)
	return nil
}

func (p *preparer) remove(seg *segment) error {
	return errors.Join(seg.file.Close(), p.cfg.FS.Remove(p.cfg.in(p.dir, seg.name)))
}

func (p *preparer) create() error {
	seg, err := p.make(p.cfg.Segment, p.space.urgent)
	p.space.made(err)
	if err != nil {
		return err
	}
	p.space.add(seg)
	return nil
}

// make makes a segment: allocates it, writes it with zeros so that later writes change no metadata of the file system, stamps it
// and gives it its name. When urgent says so the rest is left unwritten.
func (p *preparer) make(size int64, urgent func() bool) (*segment, error) {
	name := fmt.Sprintf("%08x", p.nextName)
	p.nextName++
	tmp, final := p.cfg.in(p.dir, name+newSuffix), p.cfg.in(p.dir, name+segmentSuffix)
	var f disk.File
	err := p.watched(func() (err error) { f, err = p.cfg.FS.Create(tmp, size); return err })
	if err != nil {
		return nil, err
	}
	seg := &segment{name: name + segmentSuffix, file: f, size: size}
	if err = p.fill(seg, urgent); err == nil {
		err = p.stampNext(seg)
	}
	if err == nil {
		err = p.watched(func() error { return p.cfg.FS.Rename(tmp, final) })
	}
	if err == nil {
		err = p.watched(func() error { return p.cfg.FS.SyncDir(p.cfg.in(p.dir)) })
	}
	if err != nil {
		p.watched(func() error { return errors.Join(f.Close(), p.cfg.FS.Remove(tmp)) })
		return nil, err
	}
	return seg, nil
}

// fill writes zeros, leaving the disk to others for as long as each write took.
func (p *preparer) fill(seg *segment, urgent func() bool) error {
	zeros := p.zeroed(int(min(seg.size, zeroBytes)))
	for off := int64(0); off < seg.size && !urgent(); off += int64(len(zeros)) {
		zeros = zeros[:min(int64(len(zeros)), seg.size-off)]
		began := time.Now()
		if err := p.watched(func() error { return seg.file.WriteDurable(zeros, off) }); err != nil {
			return err
		}
		p.pause(time.Since(began))
	}
	return nil
}

// pause waits for d, or until a writer needs the segment.
func (p *preparer) pause(d time.Duration) {
	if d < time.Millisecond || p.space.urgent() {
		return
	}
	t := time.NewTimer(min(d, 100*time.Millisecond))
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.space.kick:
		p.space.wakePreparer() // not ours: pass it on
	}
}

// zeroed returns n zeros at an aligned address.
func (p *preparer) zeroed(n int) []byte {
	if len(p.zeros) < n {
		p.zeros = aligned(n)
	}
	return p.zeros[:n]
}

// stampNext gives a segment the next number, durably.
func (p *preparer) stampNext(seg *segment) error {
	st := stamp{generation: seg.stamp.generation + 1, cluster: p.cluster, victim: p.victim, seq: p.nextSeq, durable: p.durable()}
	slot := aligned(stampSlot)
	copy(slot, st.append())
	if err := p.watched(func() error { return seg.file.WriteDurable(slot, st.offset()) }); err != nil {
		return err
	}
	seg.stamp = st
	p.nextSeq++
	return nil
}

func aligned(n int) []byte {
	b := make([]byte, n+disk.Align)
	off := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (disk.Align - 1))
	return b[off : off+n : off+n]
}
