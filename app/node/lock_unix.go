//go:build unix

package node

import (
	"os"
	"syscall"

	"sluice/base"
)

// lockFile holds a lock on a file as long as the process lives or until it is released.
func lockFile(name, data string) (release func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, base.Errorf(base.Invalid, "setting data = %q: %w", data, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, base.Errorf(base.Invalid, "another sluice uses the data directory %s; stop it, or give this one another directory with --data", data)
	}
	return func() { f.Close() }, nil
}
