package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// ErrLocked says that another process, or another part of this one, holds the lock.
var ErrLocked = errors.New("locked by another process")

// OS is the operating system's file system.
type OS struct{}

var _ FS = OS{}

// Open implements FS.
func (OS) Open(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &file{f: f}, nil
}

// Mkdir implements FS.
func (OS) Mkdir(path string) error { return os.Mkdir(path, 0o755) }

// SyncDir implements FS.
func (OS) SyncDir(path string) error { return syncDir(path) }

// Rename implements FS.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (OS) Remove(path string) error { return os.RemoveAll(path) }

// List implements FS.
func (OS) List(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, err
}

// ReadFile implements FS.
func (OS) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

// Put implements FS. The name is given by link(2), which fails when it exists; whether the name is our file decides when the
// answer is an error, because NFS may repeat a request that has succeeded.
func (o OS) Put(path string, content []byte) error {
	tmp, err := writeTemporary(path, content)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	if err := link(tmp, path); err != nil && !sameFile(tmp, path) {
		return err
	}
	return o.SyncDir(filepath.Dir(path))
}

// Replace implements FS.
func (o OS) Replace(path string, content []byte) error {
	tmp, err := writeTemporary(path, content)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		os.Remove(tmp)
		return err
	}
	return o.SyncDir(filepath.Dir(path))
}

func writeTemporary(path string, content []byte) (string, error) {
	tmp := fmt.Sprintf("%s.%016x.tmp", path, rand.Uint64())
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, syncAndClose(f)); err != nil {
		os.Remove(tmp)
		return "", err
	}
	return tmp, nil
}

func syncAndClose(f *os.File) error { return errors.Join(f.Sync(), f.Close()) }

func sameFile(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}

// Overwrite implements FS.
func (OS) Overwrite(path string, off int64, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(content, off)
	return errors.Join(err, syncAndClose(f))
}

// Lock implements FS.
func (OS) Lock(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Create implements FS.
func (OS) Create(path string, size int64) (File, error) {
	f, direct, err := create(path)
	if err != nil {
		return nil, err
	}
	preallocated, err := allocate(f, size)
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, &fs.PathError{Op: "allocate", Path: path, Err: err}
	}
	return &file{f: f, direct: direct, preallocated: preallocated}, nil
}

// file is a File of the operating system.
type file struct {
	f      *os.File
	direct bool // open with O_DIRECT and O_DSYNC

	preallocated bool
}

func (f *file) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }
func (f *file) Direct() bool                            { return f.direct }
func (f *file) Preallocated() bool                      { return f.preallocated }
func (f *file) Close() error                            { return f.f.Close() }

func (f *file) Size() (int64, error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *file) WriteDurable(p []byte, off int64) error {
	if _, err := f.f.WriteAt(p, off); err != nil {
		return err
	}
	if f.direct {
		return nil
	}
	return syncData(f.f)
}
