//go:build linux && (amd64 || arm64)

package file

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"sluice/base/slab"
)

// TestAsync: many reads and writes at a time, more than the kernel takes, come back byte for byte, also across the end of the file; a closed descriptor is an error; and
// the goroutine ends when nothing is under way.
func TestAsync(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f, ok, err := openDirect(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		t.Skip("this file system has no direct I/O")
	}
	defer f.Close()
	if kernelQueue() == nil {
		t.Skip("this kernel has no queue for us")
	}
	pool := &slab.Pool{}
	const parts, size = 2 * asyncMax, 64 << 10
	whole := make([]byte, parts*size)
	for i := range whole {
		whole[i] = byte(rand.Uint32())
	}
	var wg sync.WaitGroup
	each := func(do func(i int, b []byte) error) {
		for i := range parts {
			wg.Go(func() {
				buf := pool.Get(2 * size)
				defer buf.Release()
				if err := do(i, buf.B); err != nil {
					t.Errorf("part %d: %v", i, err)
				}
			})
		}
		wg.Wait()
	}
	each(func(i int, b []byte) error {
		n, err := directWriteAt(f, b[:copy(b[:size], whole[i*size:])], int64(i*size))
		if n != size && err == nil {
			err = io.ErrShortWrite
		}
		return err
	})
	each(func(i int, b []byte) error {
		n, err := directReadAt(f, b[:2*size], int64(i*size))
		if want := whole[i*size : min((i+2)*size, len(whole))]; err == nil && !bytes.Equal(b[:n], want) {
			t.Errorf("part %d: %d bytes, not the %d that were written", i, n, len(want))
		}
		return err
	})
	buf := pool.Get(size)
	defer buf.Release()
	if n, err := directReadAt(f, buf.B[:size], parts*size); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d bytes, %v", n, err)
	}
	if _, err := directReadAt(f, buf.B[1:4097], 0); !errors.Is(err, syscall.EINVAL) && err != nil {
		t.Errorf("a buffer that is not aligned: %v", err)
	}
	f.Close()
	if _, err := directReadAt(f, buf.B[:size], 0); err == nil {
		t.Error("a closed file was read")
	}
	a := kernelQueue()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		a.mu.Lock()
		awake, left := a.mu.awake, len(a.mu.wait)
		a.mu.Unlock()
		if !awake && left == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("awake %v with %d operations under way", awake, left)
		}
	}
}
