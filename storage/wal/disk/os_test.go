package disk

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"unsafe"
)

func aligned(n int) []byte {
	b := make([]byte, n+Align)
	off := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (Align - 1))
	return b[off : off+n]
}

func TestFiles(t *testing.T) {
	var d FS = OS{}
	dir := t.TempDir()
	path := filepath.Join(dir, "segment")
	f, err := d.Create(path, 4*Align)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Create(path, Align); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("made twice: %v", err)
	}
	b := aligned(2 * Align)
	for i := range b {
		b[i] = byte(i + 1)
	}
	if err := f.WriteDurable(b, Align); err != nil {
		t.Fatal(err)
	}
	f.Close()
	f, err = d.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	back := make([]byte, 5*Align)
	n, err := f.ReadAt(back, 0)
	want := append(append(make([]byte, Align), b...), make([]byte, Align)...)
	if size, _ := f.Size(); n != 4*Align || err != io.EOF || size != 4*Align || !bytes.Equal(back[:n], want) {
		t.Fatalf("%d bytes of %d, %v", n, size, err)
	}
}

// TestThroughThePageCache: where direct writes are refused, a write is followed by a sync.
func TestThroughThePageCache(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := &file{f: f}
	if err := w.WriteDurable([]byte("odd bytes"), 3); err != nil || w.Direct() {
		t.Fatal(err)
	}
	f.Close()
	if err := w.WriteDurable([]byte("closed"), 0); err == nil {
		t.Fatal("a write to a closed file succeeded")
	}
}

func TestPutReplaceOverwrite(t *testing.T) {
	var d FS = OS{}
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	read := func() string {
		b, err := d.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if err := d.Put(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := d.Put(path, []byte("second")); !errors.Is(err, fs.ErrExist) || read() != "first" {
		t.Fatalf("put twice: %v, %q", err, read())
	}
	if err := d.Overwrite(path, 1, []byte("U")); err != nil || read() != "fUrst" {
		t.Fatalf("%v, %q", err, read())
	}
	if err := d.Replace(path, []byte("third")); err != nil || read() != "third" {
		t.Fatalf("%v, %q", err, read())
	}
	if names, err := d.List(dir); err != nil || len(names) != 1 {
		t.Fatalf("temporary files stay: %v, %v", names, err)
	}
	if err := d.Overwrite(path+"x", 0, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("overwrite of nothing: %v", err)
	}
}
