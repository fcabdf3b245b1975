package file_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sluice/base"
	"sluice/storage/objstore/conform"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/file"
)

func open(t *testing.T, dir string) *file.Store {
	s, err := file.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConform(t *testing.T) {
	conform.Run(t, func(t *testing.T) driver.Store { return open(t, filepath.Join(t.TempDir(), "new", "bucket")) })
}

func TestTwoStoresOnOneDirectory(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	opt := driver.PutOptions{IfAbsent: true}
	if err := a.Put(t.Context(), "x/1", [][]byte{[]byte("a")}, opt); err != nil {
		t.Fatal(err)
	}
	if err := b.Put(t.Context(), "x/1", [][]byte{[]byte("b")}, opt); !base.IsKind(err, base.Exists) {
		t.Fatalf("got %v", err)
	}
}

func TestTemporaryFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := s.Put(t.Context(), "a/b", [][]byte{[]byte("x")}, driver.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	temps := func() []string {
		var names []string
		entries, _ := os.ReadDir(filepath.Join(dir, ".tmp"))
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	if left := temps(); len(left) != 0 {
		t.Fatalf("a finished put left %q", left)
	}
	old, fresh := filepath.Join(dir, ".tmp", "old"), filepath.Join(dir, ".tmp", "fresh")
	for _, name := range []string{old, fresh} {
		if err := os.WriteFile(name, []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if left := temps(); !slices.Equal(left, []string{"fresh"}) {
		t.Fatalf("after open: %q", left)
	}
	for info, err := range s.List(t.Context(), "", "") {
		if err != nil || info.Key != "a/b" {
			t.Fatalf("listed %+v, %v", info, err)
		}
	}
}

func TestKeyUnderAnObject(t *testing.T) {
	s := open(t, t.TempDir())
	for _, key := range []string{"a/b", "c/d/e"} {
		if err := s.Put(t.Context(), key, nil, driver.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"a/b/c", "a/b/c/d", "c/d"} {
		for _, ifAbsent := range []bool{false, true} {
			err := s.Put(t.Context(), key, nil, driver.PutOptions{IfAbsent: ifAbsent})
			if k := base.KindOf(err); err == nil || k != base.Invalid && !(ifAbsent && k == base.Exists) {
				t.Fatalf("put %s: %v", key, err)
			}
		}
	}
	if _, err := s.Get(t.Context(), "a/b/c", 0, -1, nil); !base.IsKind(err, base.NotFound) {
		t.Fatalf("got %v", err)
	}
}

func TestOpenRefusesAFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{name, filepath.Join(name, "below")} {
		if _, err := file.Open(dir); !base.IsKind(err, base.Invalid) {
			t.Fatalf("open %s: %v", dir, err)
		}
	}
}

func TestVanishedDirectory(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := os.RemoveAll(filepath.Join(dir, ".tmp")); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "a", [][]byte{[]byte("x")}, driver.PutOptions{}); !base.IsKind(err, base.Invalid) {
		t.Fatalf("got %v", err)
	}
	if _, err := s.Stat(t.Context(), "a"); !base.IsKind(err, base.NotFound) {
		t.Fatalf("got %v", err)
	}
}
