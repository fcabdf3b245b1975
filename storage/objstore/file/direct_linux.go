package file

import (
	"errors"
	"os"
	"syscall"
)

// openDirect opens a file for direct I/O; false where the file system refuses that.
func openDirect(path string, flags int) (*os.File, bool, error) {
	f, err := os.OpenFile(path, flags|syscall.O_DIRECT, 0o644)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EOPNOTSUPP) {
		if flags&os.O_CREATE != 0 {
			_ = os.Remove(path) // some file systems create the file before they refuse the flag
		}
		return nil, false, nil
	}
	return f, err == nil, err
}

// refusesDirect says that a file system took the flag at open and refuses the operation.
func refusesDirect(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EOPNOTSUPP)
}

// allocate reserves the file's blocks, so that the writes need not; a file system that cannot is no reason to fail.
func allocate(f *os.File, size int64) {
	_ = syscall.Fallocate(int(f.Fd()), 0, 0, size)
}
