package audit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sluice/base"
	"sluice/cluster/meta"
	"sluice/storage/wal/file"
)

// dir shows a local directory that holds WALs, or is one of them: what each file is. What is in a file, the file tells.
func (in *inspector) dir(path string) (*Page, error) {
	p := &Page{Title: "Directory " + path}
	return p, in.files(p, path)
}

func (in *inspector) files(p *Page, path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return base.Wrap(base.Invalid, err)
	}
	t := p.table("Files", "name bytes what", in.rows)
	known := false
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // it is gone: a broker may be running
		}
		what := walFile(filepath.Join(path, e.Name()), info)
		known = known || what != ""
		t.row(e.Name(), info.Size(), what)
	}
	if !known {
		return base.Errorf(base.Invalid, "%s is a directory with nothing of a WAL in it; want %s", path, targets)
	}
	return nil
}

// walFile says what a file of a WAL directory is, from its name and its first bytes; nothing if it is none.
func walFile(path string, info os.FileInfo) string {
	name := info.Name()
	if info.IsDir() {
		if _, err := os.Stat(filepath.Join(path, "token")); err == nil {
			return "the WAL of a node epoch"
		}
		return ""
	}
	if strings.HasSuffix(name, ".over") {
		return "WALs of the node up to that epoch are over"
	}
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	head := make([]byte, file.SegmentStart)
	n, _ := f.ReadAt(head, 0) // what is short is padded with zeros, which say nothing
	switch {
	case bytes.HasPrefix(head, []byte("SLUICEWS")):
		s := newestStamp(head, func(int, error) {})
		return fmt.Sprintf("segment %d of %v, use %d of the file", s.Segment, s.Victim, s.Generation)
	case bytes.HasPrefix(head, []byte("SLUICEWD")):
		return "header of a WAL directory"
	case bytes.HasPrefix(head, []byte("SLUICEWT")):
		return "token"
	case bytes.HasPrefix(head, []byte("SLUICEWL")):
		return "seal"
	case name == "lock" && n == 0:
		return "lock"
	}
	return ""
}

// walFiles shows the directory of a WAL in files, where it can be reached from here.
func (in *inspector) walFiles(p *Page, url string, ref meta.NodeRef) error {
	_, rest, _ := strings.Cut(url, "file://")
	dir, _, _ := strings.Cut(rest, "?")
	dir = filepath.Join(dir, fmt.Sprintf("%d-%d", ref.ID, ref.Epoch))
	if _, err := os.Stat(dir); err != nil {
		return base.Errorf(base.Invalid, "the log is in files at %s, which is not here (%v): inspect DIR/NODE-EPOCH, or a file in it, where the directory is", url, err)
	}
	p.field("directory", dir)
	return in.files(p, dir)
}
