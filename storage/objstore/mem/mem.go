package mem

import (
	"context"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/btree"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// Store is a bucket in memory.
type Store struct {
	name string

	mu struct {
		sync.RWMutex
		objects btree.Map[string, object]
		bytes   int64
	}
}

type object struct {
	body     []byte // never changed
	modified time.Time
}

var _ driver.Store = (*Store)(nil)

// New returns an empty bucket that nobody else can open.
func New() *Store { return &Store{} }

var named struct {
	sync.Mutex
	stores map[string]*Store
}

// Named returns the bucket of that name, empty when it is named for the first time. It lives as long as the process.
func Named(name string) *Store {
	named.Lock()
	defer named.Unlock()
	if s := named.stores[name]; s != nil {
		return s
	}
	if named.stores == nil {
		named.stores = map[string]*Store{}
	}
	s := &Store{name: name}
	named.stores[name] = s
	return s
}

func (s *Store) String() string { return "mem://" + s.name }

// Bytes returns the size of all objects.
func (s *Store) Bytes() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.bytes
}

// Len returns the number of objects.
func (s *Store) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.objects.Len()
}

// Put implements driver.Store.
func (s *Store) Put(ctx context.Context, key string, body [][]byte, opt driver.PutOptions) error {
	if err := begin(ctx, key); err != nil {
		return err
	}
	if opt.IfAbsent { // spares the copy; the answer that counts is given below
		if _, found := s.find(key); found {
			return exists(key)
		}
	}
	o := object{body: make([]byte, 0, driver.BodySize(body)), modified: time.Now()}
	for _, b := range body {
		o.body = append(o.body, b...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, found := s.mu.objects.Get(key)
	if found && opt.IfAbsent {
		return exists(key)
	}
	s.mu.objects.Set(key, o)
	s.mu.bytes += int64(len(o.body)) - int64(len(old.body))
	return nil
}

// Get implements driver.Store.
func (s *Store) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	if err := begin(ctx, key); err != nil {
		return dst, err
	}
	if off < 0 {
		return dst, base.Errorf(base.Invalid, "get %s: negative offset %d", key, off)
	}
	if n == 0 {
		return dst, nil
	}
	o, found := s.find(key)
	if !found {
		return dst, notFound(key)
	}
	size := int64(len(o.body))
	if n < 0 {
		n = max(size-off, 0)
	}
	if off > size || n > size-off {
		return dst, base.Errorf(base.OutOfRange, "get %s: bytes [%d, %d) of an object of %d", key, off, off+n, size)
	}
	return append(dst, o.body[off:off+n]...), nil
}

// Stat implements driver.Store.
func (s *Store) Stat(ctx context.Context, key string) (driver.Info, error) {
	if err := begin(ctx, key); err != nil {
		return driver.Info{}, err
	}
	o, found := s.find(key)
	if !found {
		return driver.Info{}, notFound(key)
	}
	return o.info(key), nil
}

// List implements driver.Store. It looks at the map page by page, as S3 does.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[driver.Info, error] {
	return func(yield func(driver.Info, error) bool) {
		for {
			if err := ctx.Err(); err != nil {
				yield(driver.Info{}, base.Wrap(base.Unavailable, err))
				return
			}
			page := s.page(prefix, after)
			for _, info := range page {
				if !yield(info, nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
			after = page[len(page)-1].Key
		}
	}
}

const pageSize = 1000

func (s *Store) page(prefix, after string) []driver.Info {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var page []driver.Info
	s.mu.objects.Ascend(max(prefix, after), func(key string, o object) bool {
		if key == after {
			return true
		}
		if !strings.HasPrefix(key, prefix) {
			return key < prefix
		}
		page = append(page, o.info(key))
		return len(page) < pageSize
	})
	return page
}

// Delete implements driver.Store.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := begin(ctx, key); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		old, _ := s.mu.objects.Delete(key)
		s.mu.bytes -= int64(len(old.body))
	}
	return nil
}

func (s *Store) find(key string) (object, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.objects.Get(key)
}

func (o object) info(key string) driver.Info {
	return driver.Info{Key: key, Size: int64(len(o.body)), Modified: o.modified}
}

func begin(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return base.Wrap(base.Unavailable, err)
	}
	return driver.CheckKey(key)
}

func exists(key string) error   { return base.Errorf(base.Exists, "put %s: exists already", key) }
func notFound(key string) error { return base.Errorf(base.NotFound, "%s: no such object", key) }
