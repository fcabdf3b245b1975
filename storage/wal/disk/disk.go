package disk

import (
	"errors"
	"io"
	"io/fs"
	"path"
)

// Align is what address, length and offset of a durable write must be multiples of.
const Align = 4096

// FS is a file system. Paths are absolute or relative to the process, with slashes. Errors satisfy errors.Is with fs.ErrExist,
// fs.ErrNotExist and syscall errors such as ENOSPC.
type FS interface {
	// Create makes a new file of size bytes, all allocated where the file system can do that, and reading as zeros. Its name is durable after SyncDir of its directory.
	Create(path string, size int64) (File, error)
	// Open opens an existing file, for reads only.
	Open(path string) (File, error)
	// Mkdir makes a directory; durable after SyncDir of its parent.
	Mkdir(path string) error
	// SyncDir makes the entries of a directory durable.
	SyncDir(path string) error
	// Rename gives a file or directory another name in the same file system, replacing a file of that name. fs.ErrExist when it is the
	// name of a directory, even of an empty one. It is durable after SyncDir.
	Rename(from, to string) error
	// Remove deletes a file or directory with all that is in it. Deleting nothing is fine.
	Remove(path string) error
	// List returns the names of a directory's entries, sorted.
	List(path string) ([]string, error)
	// ReadFile reads a whole small file by a fresh open, so that on a shared file system with close-to-open coherence it gives what
	// another host has written and closed before.
	ReadFile(path string) ([]byte, error)
	// Put creates a file with that content, whole or not at all, and syncs it and its name. fs.ErrExist when there is one already.
	Put(path string, content []byte) error
	// Replace is Put that replaces.
	Replace(path string, content []byte) error
	// Overwrite writes content at off into an existing file, and syncs and closes it.
	Overwrite(path string, off int64, content []byte) error
	// Lock takes the exclusive lock of an existing file for as long as the result is not closed and the process lives.
	// ErrLocked when somebody else has it.
	Lock(path string) (io.Closer, error)
}

// File is an open file.
type File interface {
	// WriteDurable writes p at off, inside the file's size, and returns when it is on stable storage.
	WriteDurable(p []byte, off int64) error
	// ReadAt reads as io.ReaderAt does.
	ReadAt(p []byte, off int64) (int, error)
	// Size returns the length in bytes.
	Size() (int64, error)
	// Direct reports whether writes bypass the page cache.
	Direct() bool
	// Preallocated reports whether the file system has set the room for the file aside; else it is only as long, and writing may find the disk full.
	Preallocated() bool
	Close() error
}

// MakeDir makes a directory and those it lies in, durably. One that exists is fine.
func MakeDir(files FS, dir string) error {
	err := files.Mkdir(dir)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		if err := MakeDir(files, path.Dir(path.Clean(dir))); err != nil {
			return err
		}
		if err = files.Mkdir(dir); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	return files.SyncDir(path.Dir(path.Clean(dir)))
}
