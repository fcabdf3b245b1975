package world

import (
	"syscall"
	"time"

	"sluice/test/sim/simdisk"
)

func init() { faults = append(faults, storageFaults...) }

// rules are what disks do wrong: some of the operations, for a while.
var rules = []simdisk.Rule{
	{Name: "EIO", Effect: simdisk.Refuse},
	{Name: "EIO of reads", Ops: []string{"Open", "ReadAt", "ReadFile", "List"}, Effect: simdisk.Refuse},
	{Name: "EIO of a block", Ops: []string{"WriteDurable"}, Effect: simdisk.Refuse, Times: 1},
	{Name: "torn write and EIO", Ops: []string{"WriteDurable", "Overwrite"}, Effect: simdisk.Tear},
	{Name: "full", Ops: []string{"Create", "Put", "Replace", "Mkdir"}, Effect: simdisk.Refuse, Err: syscall.ENOSPC},
	{Name: "full at a sync", Ops: []string{"WriteDurable"}, Effect: simdisk.Tear, Err: syscall.ENOSPC, Times: 2},
	{Name: "lost answers", Effect: simdisk.LoseAnswer},
	{Name: "names of lost answers", Ops: []string{"Create", "Rename", "Mkdir", "Put"}, Effect: simdisk.LoseAnswer},
	{Name: "late", Effect: simdisk.Late},
}

// storageFaults are those of disks, clocks and of processes at the boundaries of what is durable.
var storageFaults = []trouble{
	{name: "bad disk", brokers: 1, needs: Scenario.onFiles, do: func(w *world) { w.spoil(w.victimDisk()) }},
	{name: "bad shared disk", brokers: 1, needs: Scenario.onShared, do: func(w *world) { w.spoil(w.shared) }},
	{name: "slow disk", brokers: 1, needs: Scenario.onFiles, do: func(w *world) {
		const ms = time.Millisecond
		d := w.victimDisk()
		d.SetDelays(pickOf(w.rnd, simdisk.Delays{Min: 20 * ms, Max: 200 * ms}, simdisk.Delays{Min: 200 * ms, Max: 2000 * ms}))
		w.random(0, 3*w.session)
		d.SetDelays(w.delaysOf(d))
	}},
	{name: "disk that hangs", brokers: 1, needs: Scenario.onFiles, do: func(w *world) {
		d := w.victimDisk()
		d.SetShut(true)
		w.random(0, 3*w.session)
		d.SetShut(false)
	}},
	{name: "cut from the disks", brokers: 1, needs: Scenario.onShared, do: func(w *world) {
		b := w.in(up)[0]
		b.life.setShut(true)
		w.trace.Mark("cut %s from its disks", b.name)
		w.random(0, 3*w.session)
		b.life.setShut(false)
	}},
	{name: "power failure", brokers: 1, needs: Scenario.onFiles, do: func(w *world) {
		b := w.in(up)[0]
		b.kill(true)
		b.disk.LosePower()
		w.random(0, 3*time.Second)
		b.launch()
	}},
	{name: "power failure everywhere", brokers: 1, needs: Scenario.onFiles, do: func(w *world) {
		for _, b := range w.in(up) {
			b.kill(true)
			b.disk.LosePower()
		}
		if len(w.in(down)) == len(w.brokers) {
			w.shared.LosePower()
		}
		w.random(0, 3*time.Second)
	}},
	{name: "power failure while writes hang", brokers: 1, needs: Scenario.onFiles, do: (*world).losesWhatHangs},
	{name: "new machine", brokers: 2, needs: func(s Scenario) bool { return !s.onPrivate() }, do: func(w *world) {
		b := w.in(up)[0]
		b.kill(true)
		b.disk = b.newDisk()
		w.random(0, 2*w.session)
		b.launch()
	}},
	{name: "crash at a boundary", brokers: 1, do: func(w *world) { w.crashAtBoundary(false) }},
	{name: "power failure at a boundary", brokers: 1, needs: Scenario.onFiles, do: func(w *world) { w.crashAtBoundary(true) }},
	{name: "pause at a boundary", brokers: 1, do: func(w *world) {
		if b := w.atBoundary("pause at a boundary", func(b *broker) { b.setPaused(true) }); b != nil {
			w.random(w.session/2, 4*w.session)
			b.setPaused(false)
		}
	}},
	{name: clocksJump, brokers: 1, do: func(w *world) {
		before := w.skewed.Load()
		for _, b := range w.brokers {
			jump := pickOf(w.rnd, time.Second, time.Minute, time.Hour, 40*time.Hour)
			b.skew.Store(int64(pickOf(w.rnd, -1, 1)) * int64(jump))
			w.trace.Mark("the clock of %s is off by %v", b.name, time.Duration(b.skew.Load()))
		}
		read := func() int { return int(w.skewed.Load() - before) }
		if !soon(read) { // nobody needs a clock whom no client reaches
			w.heal()
		}
		w.await(clocksJump, read, 10*time.Second)
	}},
}

// losesWhatHangs has writes to a WAL take for ever, and then the power goes: what was acknowledged meanwhile is not on the disk.
func (w *world) losesWhatHangs() {
	d, kind := w.victimDisk(), "power failure while writes hang"
	victims := w.brokers
	if d == w.shared {
		w.heal() // all have to lose their power with it
	} else {
		victims = []*broker{w.owner(d)}
	}
	before := d.Fired(kind)
	d.SetRules(simdisk.Rule{Name: kind, Ops: []string{"WriteDurable"}, Effect: simdisk.Stuck})
	w.trace.Mark("writes to a disk hang")
	soon(func() int { return d.Fired(kind) - before }) // who has a WAL elsewhere, too, may have nothing to write here
	w.random(0, w.session/2)
	for _, b := range victims {
		if b.state == up {
			b.kill(true)
		}
		b.disk.LosePower()
	}
	if d == w.shared {
		w.shared.LosePower()
	}
	d.SetRules()
	w.random(0, 3*time.Second)
	for _, b := range victims {
		if b.state == down {
			b.launch()
		}
	}
}

func (w *world) crashAtBoundary(power bool) {
	silent := w.rnd.IntN(3) == 0
	kind := "crash at a boundary"
	if power {
		kind = "power failure at a boundary"
	}
	b := w.atBoundary(kind, func(b *broker) { b.life.down(silent) })
	if b == nil {
		return
	}
	b.state = down
	if power {
		b.disk.LosePower()
	}
	w.random(0, 3*time.Second)
	b.launch()
}

// victimDisk is a disk that has a WAL.
func (w *world) victimDisk() *simdisk.Disk {
	if w.onShared() && (!w.onPrivate() || w.rnd.IntN(2) == 0) {
		return w.shared
	}
	return w.in(up)[0].disk
}

func (w *world) delaysOf(d *simdisk.Disk) simdisk.Delays {
	if d == w.shared {
		return w.sharedDelays
	}
	return w.local
}

func (w *world) owner(d *simdisk.Disk) *broker {
	for _, b := range w.brokers {
		if b.disk == d {
			return b
		}
	}
	panic("BUG: sim: a disk without a machine")
}

// spoil has a disk do something wrong until heal, and a while for certain.
func (w *world) spoil(d *simdisk.Disk) {
	r := rules[w.rnd.IntN(len(rules))]
	r.Prob = pickOf(w.rnd, 0.02, 0.1, 0.5, 1)
	if r.Times > 0 {
		r.Prob = 0.2
	}
	before := d.Fired(r.Name)
	d.SetRules(r)
	w.trace.Mark("a disk does wrong: %s, %v of the operations", r.Name, r.Prob)
	fired := func() int { return d.Fired(r.Name) - before }
	if !soon(fired) { // nobody needs that of the disk: a start does, if only once
		r.Prob = 1
		d.SetRules(r)
		b := w.in(up)[0]
		if d != w.shared {
			b = w.owner(d)
		}
		b.kill(false)
		b.launch()
	}
	w.await("disk: "+r.Name, fired, 8*time.Second)
}
