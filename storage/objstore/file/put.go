package file

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// Put implements driver.Store.
func (s *Store) Put(ctx context.Context, key string, body [][]byte, opt driver.PutOptions) error {
	path, err := s.path(ctx, key)
	if err != nil {
		return err
	}
	if opt.IfAbsent { // spares the writing; what counts is the link
		if _, err := os.Lstat(path); err == nil {
			return base.Errorf(base.Exists, "put %s: exists already", key)
		}
	}
	if err := s.makeDurableDir(filepath.Dir(path)); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	temp := s.tempName()
	defer os.Remove(temp)
	if err := s.writeTemp(ctx, temp, body); err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	if opt.IfAbsent {
		err = link(temp, path)
	} else {
		err = rename(temp, path)
	}
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return base.Errorf(base.Undetermined, "put %s: %w", key, err)
	}
	return nil
}

// writeTemp writes and syncs a new file.
func (s *Store) writeTemp(ctx context.Context, temp string, body [][]byte) error {
	size := int64(0)
	for _, segment := range body {
		size += int64(len(segment))
	}
	if size >= directMin && !s.indirect.Load() {
		if done, err := s.writeTempDirect(ctx, temp, body, size); done {
			return classify(err)
		}
		s.indirect.Store(true)
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return base.Errorf(base.Invalid, "the bucket's directory was removed: %w", err)
		}
		return classify(err)
	}
	return classify(syncAndClose(f, writeAll(ctx, f, body)))
}

// writeTempDirect is writeTemp around the page cache. It returns false, and leaves no file, where that is refused.
func (s *Store) writeTempDirect(ctx context.Context, temp string, body [][]byte, size int64) (done bool, err error) {
	f, ok, err := openDirect(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if !ok {
		return err != nil, err
	}
	allocate(f, size)
	if err = s.writeDirect(ctx, f, body); err == nil {
		err = f.Truncate(size)
	}
	err = syncAndClose(f, err)
	if refusesDirect(err) {
		return false, os.Remove(temp)
	}
	return true, err
}

// syncAndClose syncs f unless err tells that it was not written, and closes it.
func syncAndClose(f *os.File, err error) error {
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

const (
	smallSegment = 32 << 10 // shorter segments are gathered before they are written
	maxWrite     = 8 << 20  // so that a cancelled context is noticed within a big segment
)

var gatherers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 2*smallSegment) }}

// writeAll writes big segments straight from the caller's memory and gathers small ones.
func writeAll(ctx context.Context, f io.Writer, body [][]byte) error {
	gather := gatherers.Get().(*bufio.Writer)
	gather.Reset(f)
	defer func() {
		gather.Reset(nil)
		gatherers.Put(gather)
	}()
	for _, segment := range body {
		if len(segment) < smallSegment {
			if _, err := gather.Write(segment); err != nil {
				return err
			}
			continue
		}
		if err := gather.Flush(); err != nil {
			return err
		}
		for len(segment) > 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := f.Write(segment[:min(len(segment), maxWrite)])
			if err != nil {
				return err
			}
			segment = segment[n:]
		}
	}
	return gather.Flush()
}

// link gives temp the name path unless that is taken.
func link(temp, path string) error {
	err := os.Link(temp, path)
	if err == nil || sameFile(temp, path) {
		return nil
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		return base.Wrap(base.Exists, err)
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ETIMEDOUT):
		return base.Wrap(base.Undetermined, err) // a server may still do it
	case errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOSYS):
		return base.Errorf(base.Invalid, "this file system has no hard links, which put-if-absent needs: %w", err)
	case errors.Is(err, fs.ErrNotExist):
		return base.Wrap(base.Unavailable, err) // the temporary file was cleaned away under a very slow put
	default:
		return classify(err)
	}
}

func sameFile(a, b string) bool {
	ai, aerr := os.Lstat(a)
	bi, berr := os.Lstat(b)
	return aerr == nil && berr == nil && os.SameFile(ai, bi)
}

func rename(temp, path string) error {
	err := os.Rename(temp, path)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ETIMEDOUT):
		return base.Wrap(base.Undetermined, err)
	case errors.Is(err, syscall.EISDIR), errors.Is(err, fs.ErrExist):
		return base.Errorf(base.Invalid, "the key is a directory of other keys: %w", err)
	case errors.Is(err, fs.ErrNotExist):
		return base.Wrap(base.Unavailable, err)
	default:
		return classify(err)
	}
}

// makeDurableDir creates dir and its parents and syncs each into its parent. Another process may have created one and crashed
// before its sync, so directories that exist are synced too, once per process.
func (s *Store) makeDurableDir(dir string) error {
	if s.knownSynced(dir) {
		return nil
	}
	made := false
	switch err := os.Mkdir(dir, 0o755); {
	case err == nil:
		made = true
	case errors.Is(err, fs.ErrExist):
		if !isDir(dir) && !followsToDir(dir) {
			return base.Errorf(base.Invalid, "%s is a file, not a directory: a key may not be a directory of another key", dir)
		}
	case errors.Is(err, fs.ErrNotExist):
		if err := s.makeDurableDir(filepath.Dir(dir)); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return invalidNotDir(err)
		}
		made = true
	default:
		return invalidNotDir(err)
	}
	if err := s.syncIntoParents(dir, made); err != nil {
		return err
	}
	s.rememberSynced(dir)
	return nil
}

// syncIntoParents syncs the entry of dir, and of its parents up to the bucket's root, which may have been made by a process
// that crashed before syncing them. Above the root, only what this call made is ours to sync.
func (s *Store) syncIntoParents(dir string, made bool) error {
	inside := len(dir) > len(s.dir)
	if !inside && !made {
		return nil
	}
	if inside {
		if err := s.makeDurableDir(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return classify(syncDir(filepath.Dir(dir)))
}

func followsToDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func invalidNotDir(err error) error {
	if errors.Is(err, syscall.ENOTDIR) {
		return base.Errorf(base.Invalid, "a key may not be a directory of another key: %w", err)
	}
	return classify(err)
}

func (s *Store) knownSynced(dir string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.synced[dir]
}

func (s *Store) rememberSynced(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.synced == nil || len(s.mu.synced) >= syncedBound {
		s.mu.synced = map[string]bool{}
	}
	s.mu.synced[dir] = true
}
