//go:build !linux

package disk

import "os"

func create(path string) (f *os.File, direct bool, err error) {
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	return f, false, err
}

func allocate(f *os.File, size int64) (preallocated bool, err error) { return false, f.Truncate(size) }

func syncData(f *os.File) error { return f.Sync() }
