//go:build !wasip1 && !windows

package disk

import (
	"errors"
	"os"
)

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func link(from, to string) error { return os.Link(from, to) }
