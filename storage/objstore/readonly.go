package objstore

import (
	"context"
	"os"
	"strings"

	"sluice/base"
)

// OpenReadOnly opens the bucket that url names as Open does, for tools that only look: puts and deletes are refused with kind Invalid, and
// the directory of a file store must exist and is left alone.
func OpenReadOnly(ctx context.Context, url string, opt Options) (Store, error) {
	if dir, ok := strings.CutPrefix(url, "file://"); ok {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return nil, base.Errorf(base.Invalid, "bucket URL %q: there is no such directory", url)
		}
	}
	s, err := Open(ctx, url, opt)
	if err != nil {
		return nil, err
	}
	return readOnly{s}, nil
}

type readOnly struct{ Store }

// Put implements driver.Store.
func (s readOnly) Put(_ context.Context, key string, _ [][]byte, _ PutOptions) error {
	return base.Errorf(base.Invalid, "put %s: the store was opened for reading", key)
}

// Delete implements driver.Store.
func (s readOnly) Delete(_ context.Context, keys ...string) error {
	return base.Errorf(base.Invalid, "delete of %d objects: the store was opened for reading", len(keys))
}
