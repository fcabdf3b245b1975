package ledger

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"

	"sluice/storage/objstore/driver"
)

// What S3 takes in one request, by which calls of stores are counted that do not report their requests.
const (
	listPage    = 1000
	deleteBatch = 1000
)

// Store is a store whose requests are counted.
type Store struct {
	driver.Store
	ledger *Ledger
	index  int
	name   string
}

// Wrap returns a store that counts what is asked of inner under a name: bucket, metadata or wal. Stores under one name are counted together, and
// the report has the URL of the first.
func (l *Ledger) Wrap(name string, inner driver.Store) *Store {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.mu.stores {
		if o.name == name {
			return &Store{Store: inner, ledger: l, index: o.index, name: name}
		}
	}
	s := &Store{Store: inner, ledger: l, index: len(l.mu.stores), name: name}
	if s.index == storesMax {
		panic("BUG: ledger: too many stores")
	}
	l.mu.stores = append(l.mu.stores, s)
	return s
}

// call is one call of a store and who its requests are counted for.
type call struct {
	store    *Store
	purpose  driver.Purpose
	shares   []driver.Share
	reported atomic.Bool // the store reports its requests itself
	once     sync.Once
	topics   []share
	total    int64
}

// begin returns the call that requests of ctx belong to, and the context that tells of them.
func (s *Store) begin(ctx context.Context) (context.Context, *call) {
	s.ledger.turn()
	c := &call{store: s, purpose: driver.PurposeOf(ctx), shares: driver.SharesOf(ctx)}
	return driver.WithRecorder(ctx, c), c
}

// Record implements driver.Recorder.
func (c *call) Record(op driver.Op, sent, received int64) {
	c.reported.Store(true)
	c.count(op, 1, sent, received)
}

func (c *call) resolve() {
	c.once.Do(func() { c.topics, c.total = c.store.ledger.resolve(c.shares) })
}

// count notes n requests that carried so many bytes together.
func (c *call) count(op driver.Op, n, sent, received int64) {
	c.resolve()
	requests := n * unit
	for _, s := range c.topics[:max(len(c.topics)-1, 0)] {
		r, out, in := divide(requests, s.bytes, c.total), divide(sent, s.bytes, c.total), divide(received, s.bytes, c.total)
		s.topic.add(c.store.index, c.purpose, op, r, out, in)
		requests, sent, received = requests-r, sent-out, received-in
	}
	last := c.store.ledger.none
	if len(c.topics) > 0 {
		last = c.topics[len(c.topics)-1].topic
	}
	last.add(c.store.index, c.purpose, op, requests, sent, received)
}

// Put implements driver.Store.
func (s *Store) Put(ctx context.Context, key string, body [][]byte, opt driver.PutOptions) error {
	ctx, c := s.begin(ctx)
	err := s.Store.Put(ctx, key, body, opt)
	if !c.reported.Load() {
		c.countPut(driver.BodySize(body), opt)
	}
	if err == nil && (c.purpose == driver.PurposeUpload || c.purpose == driver.PurposeRescue) {
		c.resolve()
		for _, s := range c.topics {
			s.topic.ingested.Add(s.bytes)
		}
	}
	return err
}

func (c *call) countPut(size int64, opt driver.PutOptions) {
	parts, _ := driver.Parts(size)
	if parts == 0 {
		c.count(driver.OpPut, 1, size, 0)
		return
	}
	if opt.IfAbsent {
		c.count(driver.OpStat, 1, 0, 0)
	}
	c.count(driver.OpCreate, 1, 0, 0)
	c.count(driver.OpPart, int64(parts), size, 0)
	c.count(driver.OpComplete, 1, 0, 0)
}

// Get implements driver.Store.
func (s *Store) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	ctx, c := s.begin(ctx)
	out, err := s.Store.Get(ctx, key, off, n, dst)
	if !c.reported.Load() && n != 0 {
		c.count(driver.OpGet, 1, 0, int64(len(out)-len(dst)))
	}
	return out, err
}

// Stat implements driver.Store.
func (s *Store) Stat(ctx context.Context, key string) (driver.Info, error) {
	ctx, c := s.begin(ctx)
	info, err := s.Store.Stat(ctx, key)
	if !c.reported.Load() {
		c.count(driver.OpStat, 1, 0, 0)
	}
	return info, err
}

// List implements driver.Store.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[driver.Info, error] {
	return func(yield func(driver.Info, error) bool) {
		ctx, c := s.begin(ctx)
		n := int64(0)
		defer func() {
			if !c.reported.Load() {
				c.count(driver.OpList, max(1, (n+listPage-1)/listPage), 0, 0)
			}
		}()
		for info, err := range s.Store.List(ctx, prefix, after) {
			n++
			if !yield(info, err) {
				return
			}
		}
	}
}

// Delete implements driver.Store.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	if len(keys) == 0 {
		return nil
	}
	ctx, c := s.begin(ctx)
	err := s.Store.Delete(ctx, keys...)
	if !c.reported.Load() {
		c.count(driver.OpDelete, int64(len(keys)+deleteBatch-1)/deleteBatch, 0, 0)
	}
	return err
}

// Unwrap returns the store inside.
func (s *Store) Unwrap() driver.Store { return s.Store }
