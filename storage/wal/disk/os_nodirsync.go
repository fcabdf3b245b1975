//go:build wasip1 || windows

package disk

import (
	"io/fs"
	"os"
)

// syncDir does nothing: these systems have no call that syncs a directory.
func syncDir(string) error { return nil }

// link gives a file a second name. WASI runtimes often lack hard links: then the check and the rename are two steps, which is
// good enough where one process has the directory to itself.
func link(from, to string) error {
	if err := os.Link(from, to); err == nil {
		return nil
	}
	if _, err := os.Stat(to); err == nil {
		return &fs.PathError{Op: "link", Path: to, Err: fs.ErrExist}
	}
	return os.Rename(from, to)
}

// lock does nothing: these systems are for the simulation and for development only.
func lock(*os.File) error { return nil }
