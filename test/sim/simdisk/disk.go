package simdisk

import (
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"time"

	"sluice/storage/wal/disk/memdisk"
)

// Delays says how long an operation takes: mostly between Min and Max, now and then up to Slow.
type Delays struct {
	Min, Max, Slow time.Duration
	Slowly         float64 // probability
}

// Effect is what happens to an operation.
type Effect uint8

// The effects.
const (
	Refuse     Effect = iota // Err, and nothing has happened
	LoseAnswer               // it happens, and an error is told
	Tear                     // any sectors of a write are written, and Err is told; other operations are refused
	Late                     // Err is told, and it happens up to LateMax later
	Stuck                    // nothing is told, and it happens when other rules are set; never, if the process has ended by then
)

// LateMax is the longest time that a late operation is late.
const LateMax = 8 * time.Second

const sectorBytes = 512

// Rule says what happens to matching operations.
type Rule struct {
	Name   string   // for Fired
	Ops    []string // names of methods of disk.FS and disk.File; empty: all that change something
	Path   string   // what the path contains
	Prob   float64  // 0: always
	Times  int      // how many it hits before it runs out; 0: no limit
	Effect Effect
	Err    error // nil: EIO
}

type rule struct {
	Rule
	hit int
}

// Disk is a file system.
type Disk struct {
	trace  func(format string, args ...any)
	shared bool // machines reach it over a network

	mu struct {
		sync.Mutex
		mem    *memdisk.Disk
		rng    *rand.Rand
		delays Delays
		rules  []*rule
		fired  map[string]int
		shut   chan struct{} // nil: it answers; else closed when it does again
		others chan struct{} // closed, and made anew, by SetRules
	}
}

// New returns an empty file system with the directories of these names in its root.
func New(seed uint64, d Delays, shared bool, trace func(format string, args ...any), dirs ...string) *Disk {
	k := &Disk{trace: trace, shared: shared}
	k.mu.others = make(chan struct{})
	k.mu.mem, k.mu.rng, k.mu.delays, k.mu.fired = memdisk.New(), rand.New(rand.NewPCG(seed, 0xd15c)), d, map[string]int{}
	for _, dir := range dirs {
		if err := k.mu.mem.Mkdir(dir); err != nil {
			panic("BUG: simdisk: " + err.Error())
		}
	}
	if err := k.mu.mem.SyncDir("/"); err != nil {
		panic("BUG: simdisk: " + err.Error())
	}
	return k
}

// SetRules replaces the rules; none means that the disk behaves.
func (k *Disk) SetRules(rules ...Rule) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.rules = nil
	close(k.mu.others)
	k.mu.others = make(chan struct{})
	for _, r := range rules {
		k.mu.rules = append(k.mu.rules, &rule{Rule: r})
	}
}

// Fired returns how many operations the rules of that name have hit; of all rules for the empty name.
func (k *Disk) Fired(name string) (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for of, count := range k.mu.fired {
		if name == "" || of == name {
			n += count
		}
	}
	return n
}

// SetShut has no operation begin or end, or lets them go on.
func (k *Disk) SetShut(shut bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.shut = switched(k.mu.shut, shut)
}

// switched returns the channel after a switch: nil when things are open.
func switched(ch chan struct{}, shut bool) chan struct{} {
	switch {
	case shut && ch == nil:
		return make(chan struct{})
	case !shut && ch != nil:
		close(ch)
		return nil
	}
	return ch
}

// LosePower gives the disk the content that it has after a power failure. Whatever was mounted must be down.
func (k *Disk) LosePower() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.mem = k.mu.mem.Crash(k.mu.rng)
}

// changed is closed when other rules are set.
func (k *Disk) changed() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mu.others
}

// mem is the file system that holds the content now.
func (k *Disk) mem() *memdisk.Disk {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mu.mem
}

// draw returns how long half of an operation takes.
func (k *Disk) draw() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.mu.delays
	wait := d.Min + time.Duration(k.mu.rng.Int64N(int64(max(1, d.Max-d.Min))))
	if k.mu.rng.Float64() < d.Slowly {
		wait = d.Max + time.Duration(k.mu.rng.Int64N(int64(max(1, d.Slow-d.Max))))
	}
	return wait / 2
}

// SetDelays changes how long operations take.
func (k *Disk) SetDelays(d Delays) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mu.delays = d
}

func (k *Disk) late() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return time.Duration(k.mu.rng.Int64N(int64(LateMax)))
}

// decide returns the rule that hits an operation, nil if none does.
func (k *Disk) decide(op, path string, changes bool) *rule {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range k.mu.rules {
		if !r.matches(op, path, changes) || r.Times > 0 && r.hit >= r.Times || r.Prob > 0 && k.mu.rng.Float64() >= r.Prob {
			continue
		}
		r.hit++
		k.mu.fired[r.Name]++
		return r
	}
	return nil
}

func (r *Rule) matches(op, path string, changes bool) bool {
	if !strings.Contains(path, r.Path) {
		return false
	}
	for _, of := range r.Ops {
		if of == op {
			return true
		}
	}
	return changes && len(r.Ops) == 0
}

func (r *Rule) err() error {
	if r.Err != nil {
		return r.Err
	}
	return syscall.EIO
}

// tear writes any sectors of a write.
func (k *Disk) tear(p []byte, write func(part []byte, off int64) error) {
	var chosen []int
	k.mu.Lock()
	for at := 0; at < len(p); at += sectorBytes {
		if k.mu.rng.IntN(2) == 0 {
			chosen = append(chosen, at)
		}
	}
	k.mu.Unlock()
	for _, at := range chosen {
		if write(p[at:min(at+sectorBytes, len(p))], int64(at)) != nil {
			return // what the disk holds has been replaced
		}
	}
}
