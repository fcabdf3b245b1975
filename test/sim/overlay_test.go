//go:build !wasip1

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// The edits fit the version of Go that they were written for. With another one that they do not fit, worlds are run in WebAssembly.
func TestEditsFit(t *testing.T) {
	root, err := goroot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	files, err := edited(filepath.Join(root, "src"))
	if errors.Is(err, errOtherRuntime) && !strings.HasPrefix(runtime.Version(), "go1.26") {
		t.Logf("worlds are run in WebAssembly: %v", err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range edits {
		if !bytes.Contains(files[e.file], []byte(e.new)) {
			t.Errorf("%s does not have %q", e.file, e.new)
		}
	}
}

// A runtime that is not as it is expected is refused, and not edited by half.
func TestOtherRuntime(t *testing.T) {
	src := t.TempDir()
	for _, e := range edits {
		path := filepath.Join(src, e.file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("package runtime\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	if _, err := writeOverlay(src, dir); !errors.Is(err, errOtherRuntime) {
		t.Errorf("an empty runtime: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}
