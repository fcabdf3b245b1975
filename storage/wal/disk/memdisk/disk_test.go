package memdisk

import (
	"errors"
	"io/fs"
	"testing"

	"sluice/storage/wal/disk"
)

// TestRenameOntoADirectory: as on the real file system a directory's name is taken, even when nothing is in it.
func TestRenameOntoADirectory(t *testing.T) {
	mem := New()
	if err := mem.Mkdir("/d"); err != nil {
		t.Fatal(err)
	}
	for dir, fsys := range map[string]disk.FS{t.TempDir(): disk.OS{}, "/d": mem} {
		for _, name := range []string{"/a", "/b"} {
			if err := fsys.Mkdir(dir + name); err != nil {
				t.Fatal(err)
			}
		}
		if err := fsys.Rename(dir+"/a", dir+"/b"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%T: %v", fsys, err)
		}
		if err := fsys.Rename(dir+"/a", dir+"/c"); err != nil {
			t.Errorf("%T: %v", fsys, err)
		}
	}
}
