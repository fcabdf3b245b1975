package crash

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/storage/wal/block"
	"sluice/test/broker"
	"sluice/test/history"
)

// lazy are settings under which everything stays in the WAL.
func lazy() []string {
	return []string{"--memory", "256MiB", "--set", "upload-interval=1h", "--set", "upload-bytes=60MiB", "--set", "group.initial.rebalance.delay.ms=0"}
}

// blockAt is a block of a WAL in a directory, where it lies.
type blockAt struct {
	block.Header
	file string
	off  int64
}

// blocks finds the data blocks of the newest WAL below a data directory, by position.
func blocks(t *testing.T, dir string) []blockAt {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "wal", "*", "*.seg"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no WAL segments in %s: %v", dir, err)
	}
	var found []blockAt
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for off := 0; off+block.HeaderBytes <= len(b); off += block.Align {
			h, err := block.Parse(b[off:])
			if err != nil || h.Kind != block.KindData {
				continue
			}
			if _, err := block.Records(&h, b[off:]); err == nil {
				found = append(found, blockAt{h, file, int64(off)})
			}
		}
	}
	slices.SortFunc(found, func(a, b blockAt) int {
		if a.Epoch != b.Epoch {
			return int(a.Epoch - b.Epoch)
		}
		return int(a.Pos) - int(b.Pos)
	})
	newest := found[len(found)-1].Epoch
	return slices.DeleteFunc(found, func(b blockAt) bool { return b.Epoch != newest })
}

// change rewrites a part of a file.
func change(t *testing.T, file string, off int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

// sacrifice writes one more value, which becomes the last block of the WAL, and kills the broker. The test is going to destroy it, so
// the history does not count it as acknowledged.
func (w *world) sacrifice() blockAt {
	w.t.Helper()
	p, err := w.Produce(w.rnd.Uint64())
	if err != nil {
		w.t.Fatal(err)
	}
	p.StopSending()
	if err := p.Flush(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	acked := make(chan struct{})
	v := p.SendUncounted(func() { close(acked) })
	<-acked
	w.kill()
	p.Close()
	w.rec.Unclear(v)
	all := blocks(w.t.(*testing.T), w.opt.Dir)
	return all[len(all)-1]
}

// TestTornLastBlock tears the last block of the WAL in several ways, as a power cut may when it was not synced: the broker starts
// without it, and everything before it is there.
func TestTornLastBlock(t *testing.T) {
	tears := map[string]func(t *testing.T, last blockAt){
		"header lost": func(t *testing.T, last blockAt) { change(t, last.file, last.off, make([]byte, block.Align)) },
		"header torn": func(t *testing.T, last blockAt) { change(t, last.file, last.off+block.HeaderBytes/2, make([]byte, 16)) },
		"end lost": func(t *testing.T, last blockAt) {
			change(t, last.file, last.off+int64(last.Size())-40, make([]byte, 40))
		},
		"data scrambled": func(t *testing.T, last blockAt) {
			change(t, last.file, last.off+block.HeaderBytes, []byte("not what was written"))
		},
		"garbage follows": func(t *testing.T, last blockAt) { garbageFollows(t, last) },
	}
	for name, tear := range tears {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, broker.Options{Args: lazy()}, 3)
			w.load(2)
			w.random(300*time.Millisecond, 800*time.Millisecond)
			w.quiesce()
			last := w.sacrifice()
			tear(t, last)
			w.rec.Fault("torn")
			w.broker.Launch()
			w.broker.AwaitReady(readyWithin)
			// Life goes on, and survives another crash.
			w.addProducer()
			w.random(200*time.Millisecond, 500*time.Millisecond)
			w.kill()
			w.restart()
			w.settle()
			w.judge(history.Want{Faults: []string{"torn"}, Acknowledged: 50})
		})
	}
}

// garbageFollows fills what comes behind the last block with bytes that were never a block, and with a copy of the block itself.
func garbageFollows(t *testing.T, last blockAt) {
	b, err := os.ReadFile(last.file)
	if err != nil {
		t.Fatal(err)
	}
	next := last.off + int64(last.Padded())
	if next+2*block.Align <= int64(len(b)) {
		change(t, last.file, next, bytes.Repeat([]byte("SLUICE"), 500))
		copied := bytes.Clone(b[last.off : last.off+block.Align])
		change(t, last.file, next+block.Align, copied)
	}
	change(t, last.file, last.off+block.HeaderBytes, []byte("torn as well"))
}

// TestBadBlockBeforeTheEnd spoils a block that later blocks prove durable: the broker refuses to start, names file and offset, and
// changes nothing; with the block restored it starts and has everything.
func TestBadBlockBeforeTheEnd(t *testing.T) {
	w := newWorld(t, broker.Options{Args: lazy()}, 3)
	w.load(2)
	time.Sleep(time.Second)
	w.quiesce()
	w.kill()
	all := blocks(t, w.opt.Dir)
	if len(all) < 20 {
		t.Fatalf("only %d blocks", len(all))
	}
	for _, part := range []string{"data", "header"} {
		victim := all[len(all)/2+w.rnd.IntN(len(all)/4)]
		at := victim.off + block.HeaderBytes + 5
		if part == "header" {
			at = victim.off + 40
		}
		before, err := os.ReadFile(victim.file)
		if err != nil {
			t.Fatal(err)
		}
		change(t, victim.file, at, []byte{before[at] ^ 0x10})
		said := len(w.broker.Log())
		w.broker.Launch()
		if err := w.broker.Wait(readyWithin); err == nil {
			t.Errorf("%s: the broker ended without an error", part)
		}
		log := w.broker.Log()[said:]
		place := fmt.Sprintf(`%s\b.{0,20}\b%d\b`, regexp.QuoteMeta(victim.file), victim.off)
		if !regexp.MustCompile(place).MatchString(log) {
			t.Errorf("%s: the broker does not name %s and offset %d:\n%s", part, victim.file, victim.off, lastLines(log, 5))
		}
		change(t, victim.file, at, before[at:at+1])
		w.rec.Fault("bad block")
	}
	w.broker.Launch()
	w.broker.AwaitReady(readyWithin)
	w.settle()
	w.judge(history.Want{Faults: []string{"bad block"}, Acknowledged: 100})
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
