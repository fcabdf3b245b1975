package world

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/base"
	"sluice/storage/wal/disk"
	"sluice/test/sim/simdisk"
)

// WALs of brokers. The disk of a machine is /disk and what lies in no other, the one that all share is /shared.
const (
	walBucket  = "s3"
	walPrivate = "file:///disk/wal"
	walShared  = "file:///shared/wal"
)

// walSetting draws where brokers have their WALs: a third of the worlds have them in the bucket only.
func walSetting(rnd *rand.Rand) []string {
	size := pickOf(rnd, "capacity=2MiB&segment=256KiB", "capacity=4MiB&segment=1MiB", "capacity=64MiB")
	private, shared := walPrivate+"?"+size, walShared+"?shared=true&"+size
	wal := pickOf(rnd, walBucket, walBucket, walBucket, walBucket, private, private, shared, shared,
		shared+","+walBucket, walBucket+","+shared, private+","+walBucket, shared+","+private)
	return []string{"wal=" + wal}
}

// wal is the setting of that name.
func (s Scenario) wal() string {
	for _, set := range s.Settings {
		if urls, ok := strings.CutPrefix(set, "wal="); ok {
			return urls
		}
	}
	return ""
}

func (s Scenario) onFiles() bool   { return strings.Contains(s.wal(), "file://") }
func (s Scenario) onPrivate() bool { return strings.Contains(s.wal(), walPrivate) }
func (s Scenario) onShared() bool  { return strings.Contains(s.wal(), walShared) }
func (s Scenario) classes() bool   { return s.onFiles() && strings.Contains(s.wal(), walBucket) }

// diskDelays are those of a good local disk and of a file server.
func diskDelays(rnd *rand.Rand) (local, shared simdisk.Delays) {
	const us = time.Microsecond
	local = pickOf(rnd,
		simdisk.Delays{Min: 50 * us, Max: 500 * us, Slow: 20_000 * us, Slowly: 0.005},
		simdisk.Delays{Min: 1000 * us, Max: 12_000 * us, Slow: 300_000 * us, Slowly: 0.01})
	shared = pickOf(rnd,
		simdisk.Delays{Min: 300 * us, Max: 2000 * us, Slow: 100_000 * us, Slowly: 0.005},
		simdisk.Delays{Min: 2000 * us, Max: 30_000 * us, Slow: 1000_000 * us, Slowly: 0.01})
	return local, shared
}

// filesOf is the file system that a process is given. Without any, as most brokers are whose WAL is in the bucket, one does not know who it was before.
func (b *broker) filesOf(l *life) disk.FS {
	if b.w.onFiles() || b.w.source("data directory", 0).IntN(3) == 0 {
		return l.seen()
	}
	return nil
}

// newDisk is an empty disk of a machine.
func (b *broker) newDisk() *simdisk.Disk {
	b.disks++
	return simdisk.New(b.w.source("disk of "+b.name, b.disks).Uint64(), b.w.local, false, b.w.trace.Event, "/disk")
}

// sharedFiles is what a machine of none of the brokers sees: the file system that all share.
func (w *world) sharedFiles() disk.FS {
	return simdisk.NewMount("auditor", simdisk.New(0, w.local, false, w.trace.Event, "/disk"), w.shared, nil)
}

// mount is what a process of this machine sees of its file systems.
func (b *broker) mount(l *life) *simdisk.Mount {
	return simdisk.NewMount(b.name, b.disk, b.w.shared, func(op, path string, before bool) { l.reach("disk "+op, path, before) })
}

// again gives a process that has ended because of its disk a successor, as whoever supervises it does. It says no if the end was not a disk's fault.
func (b *broker) again(l *life, err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead || l.files.Hit() == 0 || base.IsKind(err, base.Corrupt) {
		return false
	}
	b.w.trace.Mark("%s has ended because of its disk and is started again: %v", b.name, err)
	b.w.rec.Fault("ended by its disk")
	l.files.Down()
	l.files = b.mount(l)
	l.files.SetShut(l.shut)
	return true
}

// setShut holds all operations of the machine's file systems back, also those of a process that begins meanwhile, or lets them go on.
func (l *life) setShut(shut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shut = shut
	l.files.SetShut(shut)
}

// down takes the ports of a process away.
func (l *life) down(silent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return
	}
	l.dead = true
	l.host.Down(silent)
	l.door.close()
	l.files.Down()
	l.end()
}

// seen is the file system of the process that runs now.
func (l *life) seen() *simdisk.Mount {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.files
}

// changeClasses has an operator change the class of the topic's WAL now and then, until ctx ends.
func (w *world) changeClasses(ctx context.Context) {
	rnd := w.source("classes", 0)
	client, err := kgo.NewClient(w.set.Options(kgo.RetryTimeout(5 * time.Second))...)
	if err != nil {
		panic("BUG: sim: " + err.Error())
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	for {
		select {
		case <-time.After(time.Second + time.Duration(rnd.Int64N(int64(w.slowly(10*time.Second))))):
		case <-ctx.Done():
			return
		}
		class := pickOf(rnd, "s3", "file", "")
		change := kadm.AlterConfig{Op: kadm.SetConfig, Name: "sluice.wal.class", Value: &class}
		if class == "" {
			change = kadm.AlterConfig{Op: kadm.DeleteConfig, Name: change.Name}
		}
		w.changeClass(ctx, adm, class, change)
	}
}

func (w *world) changeClass(ctx context.Context, adm *kadm.Client, class string, change kadm.AlterConfig) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	res, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{change}, w.set.Topic)
	if err == nil && len(res) > 0 {
		err = res[0].Err
	}
	w.trace.Event("clients change the class of %s to %q: %v", w.set.Topic, class, err)
	if err == nil {
		w.happened["change of class"]++
	}
}

// ask says that a kind of fault has to happen in this run.
func (w *world) ask(kind string) { w.asked[kind] = true }

// happens notes that one did.
func (w *world) happens(kind string) {
	w.rec.Fault(kind)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.happened[kind]++
}

// soon waits some seconds for something to have happened, and reports whether it has.
func soon(times func() int) bool {
	for range 50 {
		if times() > 0 {
			return true
		}
		time.Sleep(100 * time.Millisecond)
	}
	return times() > 0
}

// await waits until a disk's rules have hit something, and a while longer.
func (w *world) await(kind string, fired func() int, longer time.Duration) {
	w.ask(kind)
	pause := 100 * time.Millisecond
	if w.Kind() == Days {
		pause = 10 * time.Second
	}
	for range w.patience(time.Minute) / pause {
		if n := fired(); n > 0 {
			w.happens(kind)
			w.random(0, longer)
			return
		}
		time.Sleep(pause)
	}
}

// skewed is the wall clock of a broker.
func (b *broker) now() time.Time {
	skew := time.Duration(b.skew.Load())
	if skew != 0 {
		b.w.skewed.Add(1)
	}
	return time.Now().Add(skew)
}
