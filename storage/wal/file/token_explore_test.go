package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/wal/block"
	"sluice/storage/wal/disk"
	"sluice/storage/wal/disk/memdisk"
	"sluice/test/explore"
)

// The explorer of the token rule runs this package itself: a writer with its two durable writes in flight, and rescuers that seal its log
// and read it, on a disk in memory that they share. Everything they do to the disk that the other side can see is a point.

// tokenMistake is a planted mistake.
type tokenMistake string

const (
	noTokenMistake  tokenMistake = ""
	tokenBeforeSync tokenMistake = "the token is read before the sync"
	readBeforeMark  tokenMistake = "the rescuer reads the log before it marks the token"
	tokenCached     tokenMistake = "the token is read from a cache"
)

type tokenBounds struct {
	appends  int
	rescuers int
	mistake  tokenMistake
}

// tokenRun is the state of one run.
type tokenRun struct {
	disk *memdisk.Disk
	mu   struct {
		sync.Mutex
		acked int            // records acknowledged, in order
		ends  []base.WALPos  // by rescuer; -1 while it does not know
		read  []map[int]bool // by rescuer: records that it has read
		done  []bool         // it has read to the end
	}
}

// seenFS is the disk as one actor sees it: it stops before what others can see.
type seenFS struct {
	*memdisk.Disk
	run     *explore.Run
	actor   string
	mistake tokenMistake
	early   *earlyToken
}

// earlyToken is the token as a mistaken writer has it in hand.
type earlyToken struct {
	sync.Mutex
	content []byte
}

func (f seenFS) Create(name string, size int64) (disk.File, error) {
	file, err := f.Disk.Create(name, size)
	return seenFile{file, f, name}, err
}

func (f seenFS) Open(name string) (disk.File, error) {
	file, err := f.Disk.Open(name)
	return seenFile{file, f, name}, err
}

func (f seenFS) ReadFile(name string) ([]byte, error) {
	if f.early != nil && path.Base(name) == tokenName {
		f.early.Lock()
		early := f.early.content
		f.early.Unlock()
		if early != nil {
			return early, nil
		}
	}
	if path.Base(name) == headerName {
		return f.Disk.ReadFile(name)
	}
	f.run.Point(f.actor, "read "+path.Base(name), "")
	b, err := f.Disk.ReadFile(name)
	f.run.Say(f.actor, "%v %v", sumOf(name, b), errors.Is(err, fs.ErrNotExist))
	if f.mistake == tokenCached && path.Base(name) == tokenName {
		f.early.hold(b)
	}
	return b, err
}

func (e *earlyToken) hold(b []byte) {
	e.Lock()
	defer e.Unlock()
	e.content = b
}

func (f seenFS) Overwrite(name string, off int64, content []byte) error {
	f.run.Point(f.actor, "mark "+path.Base(name), "")
	return f.Disk.Overwrite(name, off, content)
}

func (f seenFS) Put(name string, content []byte) error {
	f.run.Point(f.actor, "put "+path.Base(name), "")
	err := f.Disk.Put(name, content)
	f.run.Say(f.actor, "%v", errors.Is(err, fs.ErrExist))
	return err
}

type seenFile struct {
	disk.File
	fs   seenFS
	name string
}

func (f seenFile) WriteDurable(p []byte, off int64) error {
	if bytes.HasPrefix(p, []byte("SLUICEWB")) {
		if f.fs.mistake == tokenBeforeSync {
			b, _ := f.fs.Disk.ReadFile(path.Join("/wal/1-1", tokenName))
			f.fs.early.hold(b)
		}
		f.fs.run.Point(f.fs.actor, fmt.Sprintf("sync the block at %d", off), "")
	}
	return f.File.WriteDurable(p, off)
}

func (f seenFile) ReadAt(p []byte, off int64) (int, error) {
	if off == 0 { // stamps: there is one use of each segment here
		return f.File.ReadAt(p, off)
	}
	f.fs.run.Point(f.fs.actor, fmt.Sprintf("read %s at %d", path.Base(f.name), off), "")
	n, err := f.File.ReadAt(p, off)
	f.fs.run.Say(f.fs.actor, "%v", sum(p[:n]))
	return n, err
}

var sumSeed = maphash.MakeSeed()

func sum(b []byte) uint64 { return maphash.Bytes(sumSeed, b) }

// sumOf leaves the first half of a token out: its nonce is another one in every run.
func sumOf(name string, b []byte) uint64 {
	if path.Base(name) == tokenName && len(b) > tokenSlot {
		b = b[tokenSlot:]
	}
	return sum(b)
}

var explorePool slab.Pool

func (b tokenBounds) model(t *testing.T) *explore.Replay {
	return &explore.Replay{
		Start: func(r *explore.Run) { b.start(t, r) },
		Key: func(r *explore.Run, dst []byte) []byte {
			s := r.State.(*tokenRun)
			for _, name := range []string{tokenName, sealName, "00000000.seg"} {
				content, _ := s.disk.ReadFile(path.Join("/wal/1-1", name))
				dst = fmt.Append(dst, sumOf(name, content))
			}
			return dst
		},
		Check: func(r *explore.Run) error { return r.State.(*tokenRun).check() },
		End:   func(r *explore.Run) error { return r.State.(*tokenRun).atEnd(r) },
	}
}

func (b tokenBounds) start(t *testing.T, r *explore.Run) {
	s := &tokenRun{disk: memdisk.New()}
	r.State = s
	cfg, err := New("/wal", true, 0, minSegment)
	if err != nil {
		t.Fatal(err)
	}
	cfg.SecondBytes = 1
	as := func(actor string) Config {
		c := cfg
		f := seenFS{Disk: s.disk, run: r, actor: actor}
		if actor == "writer" && b.mistake != noTokenMistake {
			f.mistake, f.early = b.mistake, &earlyToken{}
		}
		c.FS = f
		return c
	}
	ctx := context.Background()
	opt := block.Options{Cluster: testCluster, Node: 1, Epoch: 1, Pool: &explorePool, OnBlock: func(b *block.Block) { b.Release() }}
	if err := as("setup").Format(ctx, block.Identity{Cluster: testCluster, Node: 1, Incarnation: base.UUID{9}}); err != nil {
		t.Fatal(err)
	}
	log, err := as("writer").Create(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	r.AtEnd(func() { log.Close(ctx) })
	r.Go(func() { s.appends(r, log, b.appends) })
	for i := range b.rescuers {
		s.mu.ends, s.mu.read, s.mu.done = append(s.mu.ends, 1<<62), append(s.mu.read, map[int]bool{}), append(s.mu.done, false)
		r.Go(func() { s.rescue(r, as(fmt.Sprintf("rescuer %d", i+1)), opt, i, b.mistake) })
	}
}

func (s *tokenRun) appends(r *explore.Run, log block.Log, n int) {
	for i := range n {
		r.Point("client", fmt.Sprintf("append %d", i), "")
		log.Append(block.Record{Stream: 1, Base: base.Offset(i), Count: 1, Data: []byte{byte(i)}}, func(err error) {
			r.Say("client", "%d: %v", i, err == nil)
			if err != nil {
				return
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.mu.acked != i {
				r.Fail(fmt.Errorf("record %d was acknowledged after %d others", i, s.mu.acked))
			}
			s.mu.acked++
		})
	}
}

func (s *tokenRun) rescue(r *explore.Run, cfg Config, opt block.Options, i int, mistake tokenMistake) {
	ctx, victim, who := context.Background(), block.Victim{Node: 1, Epoch: 1}, fmt.Sprint("rescuer ", i+1)
	var end base.WALPos
	var err error
	if mistake == readBeforeMark {
		if end, err = cfg.findAndRecord(ctx, opt, victim, 0, who); err == nil {
			err = cfg.mark(epochName(1, 1), who)
		}
	} else {
		end, err = cfg.Seal(ctx, opt, victim, 0, who)
	}
	if err != nil {
		r.Fail(fmt.Errorf("rescuer %d cannot seal: %w", i+1, err))
		return
	}
	s.mu.Lock()
	s.mu.ends[i] = end
	s.mu.Unlock()
	r.Say(who, "end %d", end)
	for b, err := range cfg.Read(ctx, opt, victim, 0, end) {
		if err != nil {
			r.Fail(fmt.Errorf("rescuer %d cannot read: %w", i+1, err))
			return
		}
		s.mu.Lock()
		for _, rec := range b.Records {
			s.mu.read[i][int(rec.Base)] = true
		}
		s.mu.Unlock()
		b.Release()
	}
	s.mu.Lock()
	s.mu.done[i] = true
	s.mu.Unlock()
}

func (s *tokenRun) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, end := range s.mu.ends {
		for _, other := range s.mu.ends[:i] {
			if other != end && other < 1<<62 && end < 1<<62 {
				return fmt.Errorf("one rescuer found the end %d, another %d", other, end)
			}
		}
		if end < base.WALPos(s.mu.acked) {
			return fmt.Errorf("I1: record %d was acknowledged, and the log was sealed at %d", s.mu.acked-1, end)
		}
		for n := range s.mu.acked {
			if s.mu.done[i] && !s.mu.read[i][n] {
				return fmt.Errorf("I1: record %d was acknowledged, and rescuer %d has not read it", n, i+1)
			}
		}
	}
	return nil
}

func (s *tokenRun) atEnd(r *explore.Run) error {
	if !r.Idle() {
		return errors.New("somebody is stuck")
	}
	return nil
}

func TestTokenRule(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector looks at other tests of this package")
	}
	bounds := []tokenBounds{{appends: 2, rescuers: 1}}
	if explore.Deep() {
		bounds = append(bounds, tokenBounds{appends: 3, rescuers: 1}, tokenBounds{appends: 2, rescuers: 2})
	}
	for _, b := range bounds {
		began := time.Now()
		res := b.model(t).Explore(t, explore.Limit{States: 20_000})
		t.Logf("%+v: %v %v", b, res, time.Since(began).Round(time.Millisecond))
		if res.Found != nil || !res.Complete && !explore.Deep() {
			t.Errorf("%v, %v", res, res.Found)
		}
	}
}

// TestTokenRuleMistakes: each mistake that is planted is found.
func TestTokenRuleMistakes(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector looks at other tests of this package")
	}
	for _, m := range []tokenMistake{tokenBeforeSync, readBeforeMark, tokenCached} {
		res := tokenBounds{appends: 2, rescuers: 1, mistake: m}.model(t).Explore(t, explore.Limit{States: 1_000_000})
		if res.Found == nil || !strings.HasPrefix(res.Found.Err.Error(), "I1") {
			t.Errorf("%s: not found in %v, but %v", m, res, res.Found)
			continue
		}
		t.Logf("%s: found in %v: %v", m, res, res.Found)
	}
}
