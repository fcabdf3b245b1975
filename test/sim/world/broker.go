package world

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sluice/app/node"
	"sluice/base"
	"sluice/base/config"
	"sluice/test/sim/simdisk"
	"sluice/test/sim/simnet"
	"sluice/wire/kerr"
)

// state is what a world has done to a broker.
type state uint8

const (
	down state = iota
	up
	paused
)

// broker is a machine that runs a broker, one life of it after the other.
type broker struct {
	w     *world
	id    int
	name  string // of the host
	state state
	life  *life
	born  int // lives so far
	disk  *simdisk.Disk
	disks int          // so far
	skew  atomic.Int64 // of its wall clock, a time.Duration
}

func (b *broker) addr() string { return b.name + ":9092" }

// life is from the start of a process to its end. In it a broker may be fenced and join again, as `sluice start` has it do.
type life struct {
	host *simnet.Host
	door *door
	end  context.CancelFunc // kill
	quit chan struct{}      // closed: shut down in order
	done chan struct{}      // closed: it has ended
	err  error              // of a start or shutdown that should have succeeded; read after done
	at   func(op, key string, before bool)

	givenUp error // of a shutdown that others had no patience with; read after done

	mu     sync.Mutex
	dead   bool
	files  *simdisk.Mount // of the process that runs now
	shut   bool           // nothing goes in or out of them, whichever process runs
	ambush *ambush        // nil: none
}

// launch starts a life.
func (b *broker) launch() {
	b.born++
	seed := b.w.source(b.name, b.born).Uint64()
	ctx, cancel := context.WithCancel(context.Background())
	l := &life{
		host: b.w.net.Up(b.name), door: newDoor(b.w.bucket, b.name, seed, b.w.Latency, b.w.trace),
		end: cancel, quit: make(chan struct{}), done: make(chan struct{}),
	}
	l.door.point = l.reach
	l.files = b.mount(l)
	l.at = func(op, key string, before bool) {
		b.w.trace.Mark("%s is caught, before=%t: %s %s", b.name, before, op, key)
	}
	b.life, b.state = l, up
	b.w.trace.Mark("%s starts, life %d", b.name, b.born)
	cfg := b.w.config(b)
	go func() {
		defer close(l.done)
		l.err = b.live(ctx, l, cfg)
		b.w.trace.Event("%s has ended: %v", b.name, l.err)
	}()
}

// startAgain is the time between the end of a broker and its next start, startAgainDays in a world of days: that of a supervisor that may have seen it fail for hours.
const (
	startAgain     = 500 * time.Millisecond
	startAgainDays = 20 * time.Second
)

// live is what the command `sluice start` does.
func (b *broker) live(ctx context.Context, l *life, cfg *config.Config) error {
	log := slog.New(&lines{trace: b.w.trace, name: b.name})
	pause := startAgain
	if b.w.Kind() == Days {
		pause = startAgainDays
	}
	for {
		n, err := node.Start(ctx, node.Options{
			Config: cfg, Store: l.door, Files: b.filesOf(l), Now: b.now, Listen: l.host.Listen, Dial: l.host.Dial, Hostname: b.name, Logger: log,
		})
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if !base.IsKind(err, base.Fenced) && !base.IsKind(err, base.Unavailable) && !b.again(l, err) {
				return fmt.Errorf("start: %w", err)
			}
		} else if ended, err := b.serve(ctx, l, n); ended {
			return err
		}
		select {
		case <-time.After(pause):
		case <-l.quit:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// serve waits for the end of an incarnation. ended says that there is no other one to come.
func (b *broker) serve(ctx context.Context, l *life, n *node.Node) (ended bool, err error) {
	select {
	case <-n.Failed():
		over, stop := context.WithTimeout(context.Background(), 10*time.Second)
		defer stop()
		n.Shutdown(over)
		if err := n.Err(); !base.IsKind(err, base.Fenced) && ctx.Err() == nil && !b.again(l, err) {
			b.w.complainf("%s failed: %v", b.name, err)
			return true, err
		}
		return false, nil
	case <-l.quit:
		over, stop := context.WithTimeout(ctx, time.Minute)
		defer stop()
		err := n.Shutdown(over)
		if base.IsKind(err, base.Fenced) || kerr.CodeOf(err) == kerr.NotLeaderOrFollower { // one that was given up meanwhile has nothing more to do
			l.givenUp, err = err, nil
		}
		if over.Err() != nil && base.IsKind(err, base.Unavailable) { // its time was over, which is no harm: the rest is rescued
			err = nil
		}
		return true, err
	case <-ctx.Done():
		over, stop := context.WithCancel(context.Background())
		stop()
		n.Shutdown(over)
		return true, nil
	}
}

// kill ends a life as kill -9 does, or as a machine that loses its power: then its peers hear nothing.
func (b *broker) kill(silent bool) {
	b.w.trace.Mark("%s is killed, silent=%v", b.name, silent)
	b.life.down(silent)
	b.state = down
}

// stop ends a life as an operator does, and waits for that.
func (b *broker) stop() {
	b.w.trace.Mark("%s is asked to stop", b.name)
	close(b.life.quit)
	<-b.life.done
	b.life.down(false)
	b.state = down
}

// setPaused holds everything back that goes in or out.
func (b *broker) setPaused(on bool) {
	b.w.trace.Mark("%s pause=%v", b.name, on)
	for _, other := range append(b.w.names(), clientHost) {
		if other != b.name {
			b.w.net.Cut(b.name, other, on)
			b.w.net.Cut(other, b.name, on)
		}
	}
	b.life.door.setShut(on)
	b.life.setShut(on)
	b.state = up
	if on {
		b.state = paused
	}
}

// config is what the broker is started with.
func (w *world) config(b *broker) *config.Config {
	set := append([]string{
		"bucket=mem://sim", "listen=" + b.addr(), "admin=off", "name=" + b.name, "zone=" + string(rune('a'+b.id%3)),
	}, w.Settings...)
	if w.ending {
		set = append(set, "sweep-interval=1s")
	}
	var values []config.Value
	for _, kv := range set {
		k, v, _ := strings.Cut(kv, "=")
		values = append(values, config.Value{Name: k, Text: v, From: "simulation"})
	}
	cfg, err := config.Resolve(values)
	if err != nil {
		panic("BUG: sim: " + err.Error())
	}
	return cfg
}
