package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/cluster/audit"
)

// TestVerifyAndInspect: a broker writes, and is looked at from outside while it runs, after it has stopped, and after somebody damaged its bucket.
func TestVerifyAndInspect(t *testing.T) {
	data := t.TempDir()
	address, stop, _ := broker(t, "--data", data, "--wal", "s3", "--upload-interval", "50ms")
	t.Setenv("SLUICE_BOOTSTRAP_SERVER", address)
	says(t, "topic create t --partitions 2", 0)
	if code, _, stderr := run(strings.Repeat("value\n", 1000), "produce", "t", "--partition", "1"); code != 0 {
		t.Fatal(stderr)
	}
	says(t, "verify --deep --data "+data, 0, "All is well: 0 errors, 0 warnings, 0 notes")
	if code := stop(); code != 0 {
		t.Fatalf("the broker ends with %d", code)
	}
	says(t, "verify --deep --data "+data, 0, "All is well", "1000 records", "4 streams with")
	says(t, "inspect topic:t/1@999 --data "+data, 0, "lies", "in object ", "Record batches:")
	says(t, "inspect latest --bucket file://"+data+"/bucket", 0, "objects committed")
	says(t, "inspect latest --data "+data+"/none", exitWrongInput, "there is no such directory")
	says(t, "inspect topic:u/0 --data "+data, exitWrongInput, "there is no topic u")
	says(t, "verify --parallel 0 --data "+data, exitWrongInput, "--parallel 0: want a number from 1")
	says(t, "verify --bucket file://"+t.TempDir(), exitWrongInput, "there is no cluster in")
	damageBucket(t, data)
	says(t, "verify --data "+data, exitOK, "All is well") // the checksum of a block is looked at by --deep only
	state := filepath.Join(t.TempDir(), "state")
	says(t, "verify --deep --data "+data+" --resume "+state, exitFailed, "NOT all is well", "CRC error", "to do: ")
	if _, err := os.Stat(state); err == nil {
		t.Error("the state file is still there after the end")
	}
	os.WriteFile(state, []byte("nonsense"), 0o644)
	says(t, "verify --data "+data+" --resume "+state, exitWrongInput, "--resume "+state)
	says(t, "verify --data "+data+" --resume "+state+"/file", exitWrongInput, "--resume: ")
	var r audit.Report
	code, stdout, _ := run("", "verify", "--deep", "--json", "--data", data)
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitFailed || r.Errors != 1 || len(r.Findings) != 1 || r.Findings[0].Kind != audit.CRCError {
		t.Errorf("code %d, %v\n%s", code, err, stdout)
	}
	says(t, "inspect --deep --data "+data+" "+r.Findings[0].Key, exitFailed, "DAMAGE:", "CRC")
	code, stdout, _ = run("", "inspect", "--json", "latest", "--data", data)
	var page map[string]any
	if err := json.Unmarshal([]byte(stdout), &page); err != nil || code != 0 {
		t.Errorf("code %d, %v\n%s", code, err, stdout)
	}
}

// damageBucket changes one byte of a record of the largest object.
func damageBucket(t *testing.T, data string) {
	t.Helper()
	var name string
	var size int64
	paths, _ := filepath.Glob(filepath.Join(data, "bucket", "??", "*", "*"))
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.Size() > size {
			name, size = p, info.Size()
		}
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[200] ^= 1
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestBar(t *testing.T) {
	var out output
	b := newBar(&out, true)
	b.terminal = true
	b.shown = b.shown.Add(-barEvery)
	b.show(audit.Progress{Phase: "listing"})
	b.began, b.phase, b.shown = b.began.Add(-10*1e9), "objects", b.shown.Add(-barEvery)
	b.show(audit.Progress{Phase: "objects", Objects: 1, ObjectsTotal: 4, Bytes: 100 << 20, BytesTotal: 400 << 20})
	if got := out.String(); !strings.Contains(got, "\rlisting …") || !strings.Contains(got, "[######------------------]  25% 1 of 4 objects, 10.0 MiB/s, 30s left") {
		t.Errorf("%q", got)
	}
	b.clear()
	if got := out.String(); !strings.HasSuffix(got, " \r") {
		t.Errorf("%q", got)
	}
}
