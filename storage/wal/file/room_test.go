package file

import (
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"sluice/storage/wal/block"
	"sluice/storage/wal/disk"
	"sluice/storage/wal/disk/memdisk"
)

// noRoom is a file system that cannot set room aside for a file.
type noRoom struct{ disk.FS }

type noRoomFile struct{ disk.File }

func (noRoomFile) Preallocated() bool { return false }

func (d noRoom) Create(path string, size int64) (disk.File, error) {
	f, err := d.FS.Create(path, size)
	return noRoomFile{f}, err
}

// TestSaysWhetherItPreallocates: whoever starts a WAL is told whether its room is set aside, and warned where it might have been and is not.
func TestSaysWhetherItPreallocates(t *testing.T) {
	for _, want := range []bool{true, false} {
		s := &system{auto: make(chan struct{})}
		close(s.auto)
		var err error
		if s.cfg, err = New("/wal", false, 256<<10, 64<<10); err != nil {
			t.Fatal(err)
		}
		if s.cfg.FS = memdisk.New(); !want {
			s.cfg.FS = noRoom{s.cfg.FS}
		}
		if err := s.cfg.Format(ctx, block.Identity{Cluster: testCluster, Node: 1}); err != nil {
			t.Fatal(err)
		}
		log, opt := new(said), s.options()
		opt.Logger = slog.New(slog.NewTextHandler(log, nil))
		l, err := s.cfg.Create(ctx, opt)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(ctx); err != nil {
			t.Fatal(err)
		}
		warned := strings.Contains(log.b.String(), "sets no room aside")
		if told := strings.Contains(log.b.String(), "preallocated=true"); told != want || warned != (!want && runtime.GOOS == "linux") {
			t.Errorf("preallocated %v: told %v, warned %v:\n%s", want, told, warned, log.b.String())
		}
	}
}
