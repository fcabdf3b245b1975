package node

import (
	"path/filepath"
	"strings"
	"testing"

	"sluice/base/config"
	"sluice/storage/wal/disk"
	"sluice/storage/wal/disk/memdisk"
)

// TestOneNodePerDataDirectory: a data directory has one owner, in whatever file system it is.
func TestOneNodePerDataDirectory(t *testing.T) {
	for name, files := range map[string]disk.FS{"os": nil, "memory": memdisk.New()} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "not", "there", "yet")
			claim := func() (func(), error) {
				n := &Node{opt: Options{Config: &config.Config{Data: data}, Files: files}}
				return n.claimData()
			}
			release, err := claim()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := claim(); err == nil || !strings.Contains(err.Error(), "another sluice uses the data directory "+data) {
				t.Fatalf("the second owner: %v", err)
			}
			release()
			if release, err = claim(); err != nil {
				t.Fatal(err)
			}
			release()
		})
	}
}
