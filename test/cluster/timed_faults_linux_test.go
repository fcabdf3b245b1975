package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"sluice/edge/admin"
	"sluice/test/s3fault"
)

// The families of faults. A guarantee needs one of each to have fired.
var families = []string{"process", "network", "bucket", "disk", "operator"}

// timedFault is something that happens to the cluster. do reports whether it has, and leaves one broker running at least.
type timedFault struct {
	family, name string
	do           func(r *timed) (fired bool)
}

// bucketTroubles are what the bucket does; what has fired is what the proxy counts under a name, and "refused" and "lost".
var bucketTroubles = []struct {
	name  string
	begin func(*s3fault.Proxy)
	fired []string
}{
	{"the bucket answers 503", func(p *s3fault.Proxy) { p.SetUnavailable(true) }, []string{"refused"}},
	{"the bucket does not answer", trouble(s3fault.Trouble{Hang: true}), []string{"hung"}},
	{"the bucket is slow", trouble(s3fault.Trouble{LatencyMin: 50 * time.Millisecond, LatencyMax: 800 * time.Millisecond}), []string{"delayed"}},
	{"answers to puts are lost", func(p *s3fault.Proxy) { p.LoseAnswers(.2) }, []string{"lost"}},
	{"one request in twenty fails", trouble(s3fault.Trouble{Errors: .05}), []string{"500", "503", "reset"}},
	{"connections are reset", trouble(s3fault.Trouble{Resets: .2}), []string{"reset"}},
	{"answers to gets break off", trouble(s3fault.Trouble{Truncated: .3}), []string{"truncated"}},
	{"puts happen late", trouble(s3fault.Trouble{Late: .2, LateMax: 3 * time.Second}), []string{"late put"}},
}

func trouble(t s3fault.Trouble) func(*s3fault.Proxy) {
	return func(p *s3fault.Proxy) { p.SetTrouble(t) }
}

// faults are all that may happen; those that SLUICE_CHAOS_FAULTS matches if it is set, which tells how one of them is met and is no verdict.
func (r *timed) faults() []timedFault {
	only, err := regexp.Compile(os.Getenv("SLUICE_CHAOS_FAULTS"))
	if err != nil {
		r.t.Fatalf("SLUICE_CHAOS_FAULTS: %v", err)
	}
	return slices.DeleteFunc(r.allFaults(), func(f timedFault) bool { return !only.MatchString(f.name) })
}

func (r *timed) allFaults() []timedFault {
	var all []timedFault
	for _, f := range faults {
		all = append(all, timedFault{"process", f.name, func(r *timed) bool { f.do(r.world); return true }})
	}
	for _, c := range cuts {
		all = append(all, timedFault{"network", "lost at one broker: " + c.name, func(r *timed) bool { return r.cut(c) }})
	}
	all = append(all,
		timedFault{"network", "two brokers do not hear each other", func(r *timed) bool { return r.cutPair() }},
		timedFault{"network", "a cable is out", func(r *timed) bool { return r.unplug() }},
	)
	for _, b := range bucketTroubles {
		all = append(all, timedFault{"bucket", b.name, func(r *timed) bool { return r.bucketTrouble(b.begin, b.fired) }})
	}
	return append(all,
		timedFault{"disk", "the file system of the WAL is full", (*timed).fillDisk},
		timedFault{"disk", "writes to the WAL fail with EIO", func(r *timed) bool { return r.strace("error=EIO", time.Second) }},
		timedFault{"disk", "writes to the WAL take 100 ms more", func(r *timed) bool { return r.strace("delay_enter=100000", session) }},
		timedFault{"operator", "rolling restart", (*timed).rollingRestart},
		timedFault{"operator", "a broker is drained", (*timed).drain},
		timedFault{"operator", "a WAL is added and drained", (*timed).addAndDrainWAL},
		timedFault{"operator", "topics change their WAL class", (*timed).changeClass},
		timedFault{"operator", "the controller is moved", (*timed).moveController},
	)
}

func (r *timed) victim() *node {
	if r.rnd.IntN(2) == 0 {
		return r.in(up)[0]
	}
	return r.controllerOrAny()
}

func (r *timed) cut(c cut) bool {
	r.cutOff(r.nw, r.victim(), c)
	return true
}

func (r *timed) index(n *node) int { return slices.Index(r.nodes, n) }

// cutPair loses what two brokers send to each other, and nothing else.
func (r *timed) cutPair() bool {
	pair := r.in(up)
	a, b := r.index(pair[0]), r.index(pair[1])
	r.nw.apply(a, cut{rules: []string{"iif eth0 from " + address(b) + "/32"}})
	r.nw.apply(b, cut{rules: []string{"iif eth0 from " + address(a) + "/32"}})
	r.random(session, 3*session)
	r.nw.mend()
	return true
}

// unplug takes the link of a broker away, and gives it back.
func (r *timed) unplug() bool {
	cable := fmt.Sprintf("cable%d", r.index(r.victim()))
	r.nw.mustRun("ip", "link", "set", cable, "down")
	r.random(session/2, 3*session)
	r.nw.mustRun("ip", "link", "set", cable, "up")
	return true
}

// bucketFaults is how many faults of the proxy have fired, by name.
func (r *timed) bucketFaults() map[string]int64 {
	fired := r.proxy.Fired()
	fired["refused"], fired["lost"] = r.proxy.Refused(), r.proxy.Lost()
	return fired
}

// bucketTrouble has the bucket in trouble, and sometimes a broker die in it.
func (r *timed) bucketTrouble(begin func(*s3fault.Proxy), names []string) bool {
	before := r.bucketFaults()
	begin(r.proxy)
	r.random(session, 3*session)
	if r.rnd.IntN(3) == 0 {
		r.kill(r.victim())
		r.random(0, session)
	}
	r.proxy.SetUnavailable(false)
	r.proxy.LoseAnswers(0)
	r.proxy.SetTrouble(s3fault.Trouble{})
	after := r.bucketFaults()
	return slices.ContainsFunc(names, func(name string) bool { return after[name] > before[name] })
}

// fillDisk leaves no room in the file system of the WAL, until a broker has met that, or for two sessions.
func (r *timed) fillDisk() bool {
	met := func() (n int) {
		for _, b := range r.nodes {
			n += strings.Count(b.Log(), syscall.ENOSPC.Error())
		}
		return n
	}
	before := met()
	filler := filepath.Join(r.disk, "filler")
	defer os.Remove(filler)
	f, err := os.Create(filler)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	r.fill(f)
	n := r.in(up)[0]
	r.kill(n) // its next epoch needs a WAL of its own
	r.launch(n)
	for began := time.Now(); time.Since(began) < 3*session && met() == before; { // what brokers give back is taken, too
		time.Sleep(100 * time.Millisecond)
		r.fill(f)
	}
	r.random(session/2, session)
	return met() > before
}

// fill makes a file as large as there is room.
func (r *timed) fill(f *os.File) {
	at, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		r.t.Fatal(err)
	}
	for step := int64(64 << 20); step >= 4<<10; {
		switch err := syscall.Fallocate(int(f.Fd()), 0, at, step); {
		case err == nil:
			at += step
		case errors.Is(err, syscall.ENOSPC):
			step /= 4
		case !errors.Is(err, syscall.EINTR):
			r.t.Fatalf("fill the file system: %v", err)
		}
	}
}

// strace has the writes and syncs of a broker to files suffer.
func (r *timed) strace(how string, lasts time.Duration) bool {
	n := r.in(up)[0]
	var out bytes.Buffer
	calls := "pwrite64,pwritev,pwritev2,fdatasync,fsync,fallocate"
	cmd := exec.Command("strace", "-f", "-p", strconv.Itoa(n.Pid()), "-e", "trace="+calls, "-e", "inject="+calls+":"+how)
	cmd.Stderr, cmd.SysProcAttr = &out, &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		r.tl.Notef("strace: %v", err)
		return false
	}
	r.random(lasts, 3*lasts)
	_ = cmd.Process.Signal(syscall.SIGTERM) // it lets go of the broker; it has ended if the broker has
	_ = cmd.Wait()
	text := out.String()
	hit := strings.Count(text, "INJECTED") + strings.Count(text, "DELAYED")
	r.tl.Notef("%s: %d calls of %s", how, hit, n.name)
	if hit == 0 {
		first, _, _ := strings.Cut(text, "\n")
		r.tl.Notef("strace said %q", first)
	}
	return hit > 0
}

func (r *timed) rollingRestart() bool {
	for _, n := range r.nodes {
		r.stop(n)
		r.checkGone(n)
		r.heal()
	}
	return true
}

// drain empties a broker and lets it lead again.
func (r *timed) drain() bool {
	n := r.in(up)[0]
	id, ok := ids(r.await("a view", func(*admin.ClusterView) bool { return true }))[n.name]
	if !ok {
		return false
	}
	set := func(on bool) error {
		return r.in(up)[0].ask(http.MethodPost, fmt.Sprintf("/v1/nodes/%d/drain", id), admin.DrainRequest{Drain: on, Why: "chaos"}, nil)
	}
	if err := set(true); err != nil {
		r.tl.Notef("drain: %v", err)
		return false
	}
	r.await(n.name+" is empty", func(v *admin.ClusterView) bool {
		return slices.ContainsFunc(v.Nodes, func(o admin.NodeView) bool { return o.ID == id && o.Led == 0 })
	})
	if err := set(false); err != nil {
		r.t.Errorf("call the drain of %s off: %v", n.name, err)
	}
	return true
}

// addAndDrainWAL gives a broker another directory, and takes it away again.
func (r *timed) addAndDrainWAL() bool {
	n := r.in(up)[0]
	r.volumes++
	var added admin.WALView
	if err := n.ask(http.MethodPost, "/v1/wal/add", admin.AddWALRequest{URL: r.volume(fmt.Sprintf("added-%d", r.volumes))}, &added); err != nil {
		r.tl.Notef("add a WAL: %v", err)
		return false
	}
	r.random(session/2, session)
	id := ids(r.await("a view", func(*admin.ClusterView) bool { return true }))[n.name]
	if err := n.ask(http.MethodPost, fmt.Sprintf("/v1/nodes/%d/wal/%d/drain", id, added.Volume), admin.DrainWALRequest{Drain: true}, nil); err != nil {
		r.tl.Notef("drain a WAL: %v", err)
		return false
	}
	r.await(fmt.Sprintf("volume %d of %s is gone", added.Volume, n.name), func(v *admin.ClusterView) bool {
		return !slices.ContainsFunc(v.Nodes, func(o admin.NodeView) bool {
			return o.ID == id && slices.ContainsFunc(o.WALs, func(w admin.WALView) bool { return w.Volume == added.Volume })
		})
	})
	return true
}

// changeClass gives topics another class of WAL, several times, each time before the last change is done perhaps.
func (r *timed) changeClass() bool {
	changed := 0
	for range 3 {
		class := []string{"file", "s3", ""}[r.rnd.IntN(3)]
		topics := []string{r.Topic, "copies", "__consumer_offsets", "compacted", "trimmed"}[:1+r.rnd.IntN(5)]
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := r.admin(func(adm *kadm.Client) error {
			res, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "sluice.wal.class", Value: &class}}, topics...)
			for _, one := range res {
				err = errors.Join(err, one.Err)
			}
			return err
		})
		cancel()
		if err != nil {
			r.tl.Notef("change of the WAL class: %v", err)
			continue
		}
		changed++
		r.tl.Count("operator", "WAL class changes", int64(len(topics)))
		r.random(200*time.Millisecond, 2*time.Second)
	}
	return changed > 0
}

func (r *timed) moveController() bool {
	moved := false
	for range 3 {
		if err := r.transfer(r.in(up)[0]); err != nil {
			r.tl.Notef("transfer: %v", err)
		} else {
			moved = true
			r.tl.Count("operator", "transfers of the controller", 1)
		}
		r.random(0, 500*time.Millisecond)
	}
	return moved
}
