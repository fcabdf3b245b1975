package disk

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestLock(t *testing.T) {
	var d FS = OS{}
	path := filepath.Join(t.TempDir(), "lock")
	if err := d.Put(path, nil); err != nil {
		t.Fatal(err)
	}
	lock, err := d.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lock(path); !errors.Is(err, ErrLocked) {
		t.Fatalf("locked twice: %v", err)
	}
	lock.Close()
	again, err := d.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
