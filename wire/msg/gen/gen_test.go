package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestGeneratedIsCurrent: `go generate` would change nothing.
func TestGeneratedIsCurrent(t *testing.T) {
	schema, err := os.ReadFile("../schema.json")
	if err != nil {
		t.Fatal(err)
	}
	files, err := Generate(schema)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join("..", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what gen makes (%v): run go generate ./wire/msg", name, err)
		}
	}
	present, err := filepath.Glob("../zz_*.go")
	if err != nil || len(present) != len(files) {
		t.Errorf("%d generated files are there, gen makes %d: %v", len(present), len(files), err)
	}
}
