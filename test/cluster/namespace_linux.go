package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/test/broker"
)

// insideEnv is set in the test binary that runs in a network of its own.
const insideEnv = "SLUICE_CHAOS_INSIDE"

// ownNetwork runs the calling test again, as a process in a network namespace of its own, and reports whether the caller is that process.
// Nothing that is done to the network there is seen outside, and all of it vanishes with the process. Where namespaces are not permitted the
// test is skipped. more are other namespaces that it is to have of its own, as of clone(2).
func ownNetwork(t *testing.T, more uintptr) bool {
	t.Helper()
	if os.Getenv(insideEnv) != "" {
		return true
	}
	for _, tool := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("network partitions need the command %s (Debian packages iproute2 and util-linux): %v", tool, err)
		}
	}
	if err := namespaced(exec.Command("true")).Run(); err != nil {
		t.Skipf("network namespaces are not permitted here (needs root, or user namespaces): %v", err)
	}
	just := "^" + strings.ReplaceAll(regexp.QuoteMeta(t.Name()), "/", "$/^") + "$"
	cmd := namespaced(exec.Command(os.Args[0], "-test.v", "-test.run="+just, "-test.timeout=24h"))
	cmd.SysProcAttr.Cloneflags |= more
	cmd.Env = append(os.Environ(), insideEnv+"=1", "SLUICE_BINARY="+broker.Binary(t))
	runtime.LockOSThread() // the child is told to die with this thread
	defer runtime.UnlockOSThread()
	var out bytes.Buffer
	cmd.Stdout = &out
	waitedFor := minutes(t) > 0
	if waitedFor {
		cmd.Stdout = io.MultiWriter(&out, os.Stdout)
	}
	cmd.Stderr = cmd.Stdout
	err := cmd.Run()
	if !waitedFor {
		t.Logf("in a network of its own:\n%s", out.Bytes())
	}
	switch {
	case err != nil:
		t.Errorf("in a network of its own: %v", err)
	case strings.Contains(out.String(), "--- SKIP"):
		t.Skip("skipped in a network of its own, see above")
	}
	return false
}

// namespaced has a command run in a new network namespace, and without root in a user namespace where it is root.
func namespaced(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

// Ports that all brokers of a network use, each at an address of its own.
const (
	kafkaPort  = 9092
	adminPort  = 9644
	peerPort   = 19092
	bucketPort = 9000
)

// network is a switch with this process at 10.0.0.1 and brokers at 10.0.0.11 and up, each in a namespace of its own.
type network struct {
	t     *testing.T
	hosts []int // by broker: a process that holds the namespace
}

func address(i int) string { return fmt.Sprintf("10.0.0.%d", 11+i) }

// build makes the network; a machine that cannot skips the test.
func build(t *testing.T, n int) *network {
	t.Helper()
	w := &network{t: t}
	w.mustRun("ip", "link", "set", "lo", "up")
	if out, err := exec.Command("ip", "link", "add", "switch", "type", "bridge").CombinedOutput(); err != nil {
		t.Skipf("no bridge can be made here: %v: %s", err, out)
	}
	w.mustRun("ip", "addr", "add", "10.0.0.1/24", "dev", "switch")
	w.mustRun("ip", "link", "set", "switch", "up")
	for i := range n {
		holder := exec.Command("sleep", "infinity")
		holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		if err := holder.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = holder.Process.Kill()
			_ = holder.Wait()
		})
		w.hosts = append(w.hosts, holder.Process.Pid)
		cable := fmt.Sprintf("cable%d", i)
		w.mustRun("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(holder.Process.Pid))
		w.mustRun("ip", "link", "set", cable, "master", "switch", "up")
		for _, args := range []string{"link set lo up", "addr add " + address(i) + "/24 dev eth0", "link set eth0 up",
			"rule add pref 100 lookup local", "rule del pref 0"} { // rules of ours come before the one for local addresses
			w.mustRun("nsenter", w.inside(i, append([]string{"ip"}, strings.Fields(args)...)...)...)
		}
	}
	return w
}

// inside are the arguments of nsenter for a command in the namespace of a broker.
func (w *network) inside(i int, args ...string) []string {
	return append([]string{"-t", strconv.Itoa(w.hosts[i]), "-n", "--"}, args...)
}

func (w *network) mustRun(name string, args ...string) {
	w.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		w.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// place puts a broker into its namespace.
func (w *network) place(i int, o *broker.Options) {
	o.Wrap = append([]string{"nsenter"}, w.inside(i)...)
	o.Addr = net.JoinHostPort(address(i), strconv.Itoa(kafkaPort))
	o.Admin = net.JoinHostPort(address(i), strconv.Itoa(adminPort))
	o.Args = append(o.Args, "--peer", net.JoinHostPort(address(i), strconv.Itoa(peerPort)))
}

// cut is a direction and a role of the traffic of a broker that gets lost without a trace; the words are those of `ip rule`.
type cut struct {
	name  string
	rules []string
	// served: everything is served meanwhile, by others if need be, for the cluster notices. A broker that others hear is not fenced, be it
	// without clients or without a bucket.
	served bool
}

// Of what comes in at a broker. What a request of the broker is answered with comes in, too: it was executed.
var cuts = []cut{
	{"everything", []string{"iif eth0"}, true},
	{"everything from other brokers", []string{"iif eth0 from 10.0.0.8/29", "iif eth0 from 10.0.0.16/28"}, true},
	{"the peer port, both ways", []string{"iif eth0 ipproto tcp dport 19092", "iif eth0 ipproto tcp sport 19092"}, true},
	{"answers of peers", []string{"iif eth0 ipproto tcp sport 19092"}, true},
	{"requests of peers", []string{"iif eth0 ipproto tcp dport 19092"}, true},
	{"requests of clients", []string{"iif eth0 ipproto tcp dport 9092"}, false},
	{"answers of the bucket", []string{"iif eth0 ipproto tcp sport 9000"}, false},
	{"requests to the bucket", []string{"ipproto tcp dport 9000"}, false},
	{"answers to clients", []string{"ipproto tcp sport 9092"}, false},
}

// apply makes a cut at a broker, mend ends all of them.
func (w *network) apply(i int, c cut) {
	w.t.Helper()
	for _, r := range c.rules {
		w.mustRun("nsenter", w.inside(i, append(append([]string{"ip", "rule", "add", "pref", "50"}, strings.Fields(r)...), "blackhole")...)...)
	}
}

func (w *network) mend() {
	w.t.Helper()
	for i := range w.hosts {
		for exec.Command("nsenter", w.inside(i, "ip", "rule", "del", "pref", "50")...).Run() == nil {
		}
	}
}

// checkCuts proves that the kernel does what the rules say: without that the test proves nothing.
func (w *network) checkCuts() {
	w.t.Helper()
	dial := func() error {
		c, err := (&net.Dialer{Timeout: 2 * time.Second}).Dial("tcp", net.JoinHostPort(address(0), strconv.Itoa(kafkaPort)))
		if err == nil {
			c.Close()
		}
		return err
	}
	if err := dial(); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
		w.t.Fatalf("no way to a broker: %v", err)
	}
	w.apply(0, cuts[0])
	if err := dial(); err == nil || errors.Is(err, syscall.ECONNREFUSED) {
		w.t.Skipf("a rule that drops packets does not work here (%v): the kernel lacks policy routing", err)
	}
	w.mend()
	if err := dial(); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
		w.t.Fatalf("no way to a broker after the cut was mended: %v", err)
	}
}
