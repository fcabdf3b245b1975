package file

import (
	"errors"
	"io/fs"
	"path"
	"syscall"

	"sluice/base"
)

// classify gives an error of the file system a kind. An error that has one keeps it.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case base.KindOf(err) != base.Unknown:
		return err
	case errors.Is(err, fs.ErrNotExist):
		return base.Wrap(base.NotFound, err)
	case errors.Is(err, fs.ErrExist):
		return base.Wrap(base.Exists, err)
	case isFull(err):
		return base.Wrap(base.Full, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EROFS):
		return base.Wrap(base.Invalid, err)
	default:
		return base.Wrap(base.Unavailable, err)
	}
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

func parent(dir string) string { return path.Dir(path.Clean(dir)) }
