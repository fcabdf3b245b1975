package disk

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// create opens a new file for direct writes, each of them durable; where the file system refuses those, for ordinary ones.
func create(path string) (f *os.File, direct bool, err error) {
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_DIRECT|unix.O_DSYNC, 0o644)
	if err == nil {
		if err = tryDirect(f); err == nil {
			return f, true, nil
		}
		f.Close()
		os.Remove(path)
	}
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOPNOTSUPP) {
		return nil, false, err
	}
	os.Remove(path) // some file systems create the file before they refuse the flag
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	return f, false, err
}

// tryDirect writes a block: some file systems take the flag and refuse the write.
func tryDirect(f *os.File) error {
	b := make([]byte, 2*Align)
	off := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (Align - 1))
	_, err := f.WriteAt(b[off:off+Align], 0)
	return err
}

// allocate gives the file its size, and its room where the file system can do that.
func allocate(f *os.File, size int64) (preallocated bool, err error) {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return false, f.Truncate(size)
		default:
			return err == nil, err
		}
	}
}

func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
