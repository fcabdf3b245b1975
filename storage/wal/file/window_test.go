package file

import (
	"syscall"
	"testing"

	"sluice/storage/wal/block"
	"sluice/storage/wal/disk"
)

// lens is a disk whose reads a test sees, and changes.
type lens struct {
	disk.FS
	reads int
	seen  func(path string, p []byte, off int64) error // of each; p has been read
}

func (l *lens) Open(path string) (disk.File, error) {
	f, err := l.FS.Open(path)
	return &lensFile{f, l, path}, err
}

type lensFile struct {
	disk.File
	l    *lens
	path string
}

func (f *lensFile) ReadAt(p []byte, off int64) (int, error) {
	f.l.reads++
	n, err := f.File.ReadAt(p, off)
	if f.l.seen != nil {
		if bad := f.l.seen(f.path, p, off); bad != nil {
			return 0, bad
		}
	}
	return n, err
}

// smallBlocks is a log of 600 blocks of 4 KiB in segments of 1 MiB, of which the first 40 are trimmed, and its disk after a crash.
func smallBlocks(t *testing.T) (*system, *lens) {
	s := newSystem(t, true, 1<<20, 8<<20)
	close(s.auto)
	t.Cleanup(s.stop)
	s.fill(600, 10)
	s.trim = 40
	return s, &lens{FS: s.crash()}
}

// wholeLog seals and reads the log, all of which must be there.
func (l *lens) wholeLog(t *testing.T, s *system) {
	t.Helper()
	if end, n, err := s.recovered(l, s.trim); err != nil || end != 600 || n != 600 {
		t.Fatalf("got end %d, %d records, %v", end, n, err)
	}
}

// A log of small blocks is not read block by block: a request to a file server takes as long for 4 KiB as for a megabyte.
func TestSmallBlocksAreReadTogether(t *testing.T) {
	s, l := smallBlocks(t)
	l.wholeLog(t, s)
	// Sealing and reading take for each of at most 5 segments: stamps, the first header in the search for the trim and in the walk, and the windows that it fits into, two;
	// and at the end what is missing is looked for once more. 560 blocks were 1,800 reads.
	if most := 2 * 5 * (1 + 1 + 1 + 2 + 1); l.reads > most {
		t.Fatalf("%d reads, at most %d are due", l.reads, most)
	}
}

// A sector that cannot be read costs nobody but its own block: here one that was trimmed, of which only the header is asked for.
func TestBadSectorBesideAHeader(t *testing.T) {
	s, l := smallBlocks(t)
	const bad = dataStart + 20*block.Align + 1024
	l.seen = func(path string, p []byte, off int64) error {
		if path == "/wal/1-1/00000000.seg" && off <= bad && bad < off+int64(len(p)) {
			return syscall.EIO
		}
		return nil
	}
	l.wholeLog(t, s)
}

// What a window does not show is looked for once more: a writer may have come meanwhile.
func TestWindowIsOld(t *testing.T) {
	s, l := smallBlocks(t)
	l.seen = func(_ string, p []byte, _ int64) error {
		if len(p) > smallBytes {
			clear(p[len(p)/3:])
		}
		return nil
	}
	l.wholeLog(t, s)
}
