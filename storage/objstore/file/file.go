package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sluice/base"
	"sluice/base/slab"
	"sluice/storage/objstore/driver"
)

const (
	tempDir     = ".tmp"
	tempMaxAge  = time.Hour
	syncedBound = 4096 // directories remembered as synced; beyond, all are forgotten and synced again
)

// Store is a bucket in a directory.
type Store struct {
	dir   string
	owner string // prefix of this store's temporary names, unique among processes and nodes
	temps atomic.Uint64
	pool  slab.Pool // staging buffers

	indirect atomic.Bool // the file system refuses direct I/O

	mu struct {
		sync.Mutex
		synced map[string]bool // directories that are durable in their parents
	}
}

var _ driver.Store = (*Store)(nil)

// Open opens the bucket in dir, creating the directory when it does not exist, and removes temporary files that crashed puts
// left.
func Open(dir string) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, base.Errorf(base.Invalid, "file://%s: %w", dir, err)
	}
	s := &Store{dir: abs, owner: base.NewUUID().Hex()}
	if err := s.makeDurableDir(abs); err != nil {
		return nil, fmt.Errorf("file://%s: the directory cannot be made: %w", abs, err)
	}
	if err := os.Mkdir(filepath.Join(abs, tempDir), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, classify(fmt.Errorf("file://%s: the directory is not writable: %w", abs, err))
	}
	_, err = s.removeOldTemps(time.Now())
	return s, err
}

func (s *Store) String() string { return "file://" + filepath.ToSlash(s.dir) }

// Tidy implements driver.Tidier: it removes the temporary files of puts that crashed, as Open does.
func (s *Store) Tidy(context.Context) (int, error) { return s.removeOldTemps(time.Now()) }

func (s *Store) removeOldTemps(now time.Time) (removed int, err error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, tempDir))
	if err != nil {
		return 0, classify(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || now.Sub(info.ModTime()) < tempMaxAge {
			continue // gone meanwhile, or a put in progress
		}
		switch err := os.Remove(filepath.Join(s.dir, tempDir, e.Name())); {
		case err == nil:
			removed++
		case !errors.Is(err, fs.ErrNotExist):
			return removed, classify(err)
		}
	}
	return removed, nil
}

func (s *Store) path(ctx context.Context, key string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", base.Wrap(base.Unavailable, err)
	}
	if err := driver.CheckKey(key); err != nil {
		return "", err
	}
	return filepath.Join(s.dir, filepath.FromSlash(key)), nil
}

// Get implements driver.Store.
func (s *Store) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	path, err := s.path(ctx, key)
	if err != nil || n == 0 {
		return dst, err
	}
	if off < 0 {
		return dst, base.Errorf(base.Invalid, "get %s: negative offset %d", key, off)
	}
	f, info, err := open(path)
	if err != nil {
		return dst, fmt.Errorf("get %s: %w", key, err)
	}
	defer f.Close()
	size := info.Size()
	if n < 0 {
		n = max(size-off, 0)
	}
	if off > size || n > size-off {
		return dst, base.Errorf(base.OutOfRange, "get %s: bytes [%d, %d) of an object of %d", key, off, off+n, size)
	}
	start := len(dst)
	out := slices.Grow(dst, int(n))[:start+int(n)]
	if err := s.read(path, f, size, out[start:], off); err != nil {
		return dst, base.Errorf(base.Unavailable, "get %s: %w", key, err)
	}
	return out, nil
}

// read fills dst with the bytes at off of the object that f is: large ranges of large objects around the page cache.
func (s *Store) read(path string, f *os.File, size int64, dst []byte, off int64) error {
	if size >= directMin && len(dst) >= directGet && !s.indirect.Load() {
		direct, ok, err := openDirect(path, os.O_RDONLY)
		if err != nil {
			return err
		}
		if ok {
			defer direct.Close()
			if err = s.readDirect(direct, dst, off); !refusesDirect(err) {
				return err
			}
		}
		s.indirect.Store(true)
	}
	_, err := f.ReadAt(dst, off)
	return err
}

// open opens a file that is an object.
func open(path string) (*os.File, os.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, classify(err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	if err != nil {
		f.Close()
		return nil, nil, classify(err)
	}
	return f, info, nil
}

// Stat implements driver.Store.
func (s *Store) Stat(ctx context.Context, key string) (driver.Info, error) {
	path, err := s.path(ctx, key)
	if err != nil {
		return driver.Info{}, err
	}
	info, err := os.Lstat(path)
	if err == nil && info.IsDir() {
		err = &fs.PathError{Op: "stat", Path: path, Err: fs.ErrNotExist}
	}
	if err != nil {
		return driver.Info{}, classify(fmt.Errorf("stat %s: %w", key, err))
	}
	return driver.Info{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil
}

// Delete implements driver.Store. The directories are synced, so a deleted object does not come back after a crash.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	dirs := map[string]bool{}
	for _, key := range keys {
		path, err := s.path(ctx, key)
		if err != nil {
			return err
		}
		switch err := removeFile(path); {
		case err == nil:
			dirs[filepath.Dir(path)] = true
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		default:
			return classify(fmt.Errorf("delete %s: %w", key, err))
		}
	}
	for dir := range dirs {
		if err := syncDir(dir); err != nil {
			return base.Errorf(base.Unavailable, "delete: %w", err)
		}
	}
	return nil
}

// removeFile removes an object's file; a directory is no object.
func removeFile(path string) error {
	if isDir(path) {
		return fs.ErrNotExist
	}
	return os.Remove(path)
}

func isDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// List implements driver.Store. It reads the directories that can hold matching keys, one at a time.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[driver.Info, error] {
	return func(yield func(driver.Info, error) bool) {
		w := walk{ctx: ctx, dir: s.dir, prefix: prefix, after: after, yield: yield}
		w.walk("")
	}
}

type walk struct {
	ctx           context.Context
	dir           string
	prefix, after string
	yield         func(driver.Info, error) bool
}

// walk yields the objects whose keys start with parent, which is empty or ends with a slash. It returns false when the listing
// is over.
func (w *walk) walk(parent string) bool {
	if err := w.ctx.Err(); err != nil {
		return w.fail(base.Wrap(base.Unavailable, err))
	}
	entries, err := os.ReadDir(filepath.Join(w.dir, filepath.FromSlash(parent)))
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		return w.fail(classify(fmt.Errorf("list %s: %w", parent, err)))
	}
	for _, name := range w.candidates(parent, entries) {
		if strings.HasSuffix(name, "/") {
			if !w.walk(name) {
				return false
			}
		} else if !w.object(name) {
			return false
		}
	}
	return true
}

// candidates returns the keys (and, with a trailing slash, the directories) in parent that may match, in order of key.
func (w *walk) candidates(parent string, entries []os.DirEntry) []string {
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.Name()[0] == '.' {
			continue // not a key: the temporary directory, or somebody else's file
		}
		name := parent + e.Name()
		switch {
		case e.IsDir():
			name += "/"
			inside := strings.HasPrefix(name, w.prefix) || strings.HasPrefix(w.prefix, name)
			if inside && (name > w.after || strings.HasPrefix(w.after, name)) {
				names = append(names, name)
			}
		case e.Type().IsRegular() && strings.HasPrefix(name, w.prefix) && name > w.after:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (w *walk) object(key string) bool {
	info, err := os.Lstat(filepath.Join(w.dir, filepath.FromSlash(key)))
	if errors.Is(err, fs.ErrNotExist) {
		return true // deleted meanwhile
	}
	if err != nil {
		return w.fail(classify(fmt.Errorf("list %s: %w", key, err)))
	}
	return w.yield(driver.Info{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil)
}

func (w *walk) fail(err error) bool {
	w.yield(driver.Info{}, err)
	return false
}

// tempName returns a path that nobody else uses.
func (s *Store) tempName() string {
	return filepath.Join(s.dir, tempDir, s.owner+"-"+strconv.FormatUint(s.temps.Add(1), 16))
}

// classify gives an error of the file system its kind: an error that has none yet and came before the object got its name.
func classify(err error) error {
	var known *base.Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return base.Wrap(base.NotFound, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENAMETOOLONG):
		return base.Wrap(base.Invalid, err)
	default:
		return base.Wrap(base.Unavailable, err) // EIO, ENOSPC, ESTALE, EMFILE, …: nothing happened, and it may pass
	}
}
