package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/base"
	"sluice/base/slab"
	"sluice/cluster/audit"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/storage/object"
	"sluice/storage/objstore/driver"
	"sluice/storage/wal"
)

func (w *world) inspect(target string, opt audit.InspectOptions) (*audit.Page, error) {
	opt.Open = func(context.Context) (driver.Store, driver.Store, error) { return w.store, w.store, nil }
	return audit.Inspect(w.t.Context(), target, opt)
}

// shows inspects and wants all the texts, and damage or none.
func (w *world) shows(target string, damage bool, want ...string) {
	w.t.Helper()
	p, err := w.inspect(target, audit.InspectOptions{Deep: true})
	if err != nil {
		w.t.Errorf("%s: %v", target, err)
		return
	}
	var text strings.Builder
	if err := p.WriteText(&text); err != nil {
		w.t.Fatal(err)
	}
	for _, s := range want {
		if !strings.Contains(text.String(), s) {
			w.t.Errorf("%s: no %q in\n%s", target, s, &text)
		}
	}
	if damage != (len(p.Damage) > 0) {
		w.t.Errorf("%s: damage %q", target, p.Damage)
	}
	var v struct {
		Title  string
		Fields map[string]any
		Tables map[string][]map[string]any
		Damage []string
	}
	b, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil || v.Title != p.Title || len(v.Fields) != len(p.Fields) || len(v.Damage) != len(p.Damage) {
		w.t.Errorf("%s: as JSON: %v\n%s", target, err, b)
	}
	secret := w.ctl.Image().Secret()
	if strings.Contains(text.String(), fmt.Sprint(secret)) || strings.Contains(text.String(), string(secret[:8])) {
		w.t.Errorf("%s shows the secret of the cluster", target)
	}
}

func TestInspect(t *testing.T) {
	w := filled(t, control.Options{RollSlots: 8, SnapshotBytes: 512})
	for i := 0; len(w.snapshots()) < 2; i++ {
		w.do(&meta.CreateTopics{Topics: []meta.NewTopic{{Name: fmt.Sprintf("more-%d", i), Partitions: 1}}})
	}
	w.shows("latest", false, "objects committed", "3, ", "more-0", w.cluster().String())
	w.shows("topic:t/0", false, "committed end", "20", "Ranges of the data stream", "10     20")
	w.shows("topic:t/0@17", false, "in object "+w.objects[1].String(), w.key(1), "15     20")
	w.shows("topic:t/0@20", false, "in the log of node 1, epoch 1")
	w.shows("topic:t/0@0", false, "block", "offsets [0, 10)")
	w.shows("object:"+w.objects[0].String(), false, "stream-set object", "t/2 (stream", "Record batches")
	w.shows(w.key(2), false, "stream-set object")
	w.shows("wal:1/1", false, "live", "SLOT", "trim")
	w.shows(w.walKey(0), false, "wal/00000001", "block of", "cluster "+w.cluster().String())
	w.shows("slot:0/0", false, "clusterCreated", "Secret=hidden")
	w.shows("slot", false, "first record")
	w.shows(w.lastOf(0), false, "sealed by", "because")
	w.shows("snapshot", false, "after slot", "Topics")
	w.shows(w.snapshots()[0], false, "snapshot of the metadata")
	for target, kind := range map[string]base.Kind{
		"object:zz": base.Invalid, "topic:t": base.Invalid, "topic:t/x": base.Invalid, "topic:u/0": base.NotFound, "topic:t/9": base.NotFound, "wal:1": base.Invalid,
		"wal:1/99": base.NotFound, "slot:1": base.Invalid, "snapshot:9/9": base.NotFound, "README": base.NotFound, "no key?": base.Invalid, "object:77": base.NotFound,
	} {
		if p, err := w.inspect(target, audit.InspectOptions{}); !base.IsKind(err, kind) {
			t.Errorf("%s: %v, want %s; %+v", target, err, kind, p)
		}
	}
}

// TestInspectDamage: what can be read is shown, and where the damage is said.
func TestInspectDamage(t *testing.T) {
	w := filled(t, control.Options{SnapshotBytes: 512})
	for i := 0; len(w.snapshots()) < 1; i++ {
		w.do(&meta.CreateTopics{Topics: []meta.NewTopic{{Name: fmt.Sprintf("more-%d", i), Partitions: 1}}})
	}
	w.change(w.key(0), func(b []byte) []byte { return b[:len(b)-object.FooterBytes] })
	w.shows("object:"+w.objects[0].String(), true, "3 found by searching the bytes", "footer or index", "t/1 (stream")
	w.change(w.key(1), flip(object.HeaderBytes+70))
	w.shows("object:"+w.objects[1].String(), true, "bytes [64, ", "CRC", "in the metadata")
	w.change(w.key(2), flip(3))
	w.shows(w.key(2), true, "object header: not an object", "Blocks", "Record batches")
	w.shows("topic:t/0@12", true, "offsets [10, 20)", "CRC")
	w.remove(w.key(0))
	w.shows("object:"+w.objects[0].String(), true, "the bucket has no such object", "t/1 (stream")
	w.change(w.walKey(3), flip(200))
	w.shows(w.walKey(3), true, "DAMAGE")
	w.remove(w.walKey(5))
	w.shows("wal:1/1", true, "slots [5, 6) are not there", "damaged")
	w.change("meta/0000000000000000/0000000000000002", flip(-2))
	w.shows("slot:0/2", true, "CRC", "what it seems to hold")
	snapshots := w.snapshots()
	last := snapshots[len(snapshots)-1] // by its name: the controller may be writing another
	w.change(last, flip(100))
	w.shows(last, true, "after slot", "CRC does not match")
	w.plant("README", []byte("hello"))
	w.shows("README", true, "nothing that Sluice writes", "not a key of Sluice")
}

// writeFiles makes a log in files with so many blocks of one record each.
func writeFiles(t *testing.T, url string, opt wal.Options, blocks int) {
	t.Helper()
	if err := wal.Format(t.Context(), url, opt, wal.Identity{Cluster: opt.Cluster, Node: opt.Node, Incarnation: base.NewUUID()}); err != nil {
		t.Fatal(err)
	}
	log, err := wal.Create(t.Context(), url, opt)
	if err != nil {
		t.Fatal(err)
	}
	for range blocks {
		done := make(chan error, 1)
		log.Append(wal.Record{Stream: 1, Count: 1, Data: make([]byte, 5000)}, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestInspectFiles shows every file of a WAL directory, whole and damaged.
func TestInspectFiles(t *testing.T) {
	w := filled(t, control.Options{})
	dir := t.TempDir()
	url, pool := "file://"+dir+"?segment=1MiB&capacity=4MiB", new(slab.Pool)
	opt := wal.Options{Cluster: w.cluster(), Node: 7, Epoch: 9, Pool: pool}
	writeFiles(t, url, opt, 5)
	if _, err := wal.Seal(t.Context(), url, opt, wal.Victim{Node: 7, Epoch: 9}, 0, "tester"); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, "7-9")
	w.shows(filepath.Join(dir, "wal.header"), false, "generation 1", "node 7")
	w.shows(filepath.Join(at, "token"), false, "fenced", "tester", "7-9")
	w.shows(filepath.Join(at, "sealed"), false, "end        5", "tester")
	w.shows(dir, false, "wal.header", "header of a WAL directory", "7-9", "the WAL of a node epoch")
	w.shows(at, false, "token", "lock", "seal", "segment 0 of 7-9, use 1")
	seg := filepath.Join(at, "00000000.seg")
	w.shows(seg, false, "node epoch", "7-9", "8192", "end")
	for _, f := range []struct {
		name string
		at   int64
		want string
	}{{seg, 8192 + 8192 + 300, "block 1: "}, {seg, 8192, "before block 1"}, {seg, 4, ""}, {filepath.Join(at, "token"), 20, "takes itself for fenced"}, {filepath.Join(at, "sealed"), 20, "CRC"}, {filepath.Join(dir, "wal.header"), 20, "byte 0"}} {
		b, err := os.ReadFile(f.name)
		if err != nil {
			t.Fatal(err)
		}
		b[f.at] ^= 0x40
		copied := filepath.Join(t.TempDir(), filepath.Base(f.name))
		if err := os.WriteFile(copied, b, 0o644); err != nil {
			t.Fatal(err)
		}
		w.shows(copied, true, f.want)
	}
}

// inMemory is a directory that no disk is waited for; where there is none, one on a disk.
func inMemory(f *testing.F) string {
	dir, err := os.MkdirTemp("/dev/shm", "fuzz")
	if err != nil {
		return f.TempDir()
	}
	f.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// FuzzInspect: no bytes make an inspection fail or take more than they are worth.
func FuzzInspect(f *testing.F) {
	seed := func(name string) {
		if b, err := os.ReadFile(name); err == nil && len(b) < 1<<16 {
			f.Add(b)
		}
	}
	for _, glob := range []string{"../../storage/*/testdata/format/*", "../../storage/wal/*/testdata/format/*", "../*/testdata/format/*"} {
		names, _ := filepath.Glob(glob)
		for _, n := range names {
			seed(n)
		}
	}
	for _, magic := range []string{"SLUICEOH", "SLUICEWS", "SLUICEWD", "SLUICEWT", "SLUICEWL", "SLUICEWB", "SLSL", "SLMS"} {
		f.Add([]byte(magic))
	}
	dir := inMemory(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		name := filepath.Join(dir, "x")
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := audit.Inspect(context.Background(), name, audit.InspectOptions{Deep: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := json.Marshal(p); err != nil {
			t.Fatal(err)
		}
		if len(b) > 0 && len(p.Damage) == 0 && len(p.Fields) < 3 {
			t.Errorf("nothing is said about %q", b[:min(len(b), 100)])
		}
	})
}
