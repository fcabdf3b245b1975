package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// child is a process of this program in another role.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Reader
}

// start starts a child with the options as they are. One that stands for machines of its own gets only the time of the processors that nobody
// else wants, where the system can do that (SCHED_IDLE, by chrt), else the lowest priority.
func (o *options) start(role string, elsewhere bool, more ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{self, "-role", role, "-cold", o.cold, "-dir", o.dir, "-bucket", o.bucket, "-wal", o.wal, "-first-byte", o.firstByte.String(), "-memory", o.memory, "-bandwidth", strconv.Itoa(o.bandwidth),
		"-rate", strconv.Itoa(o.rate), "-linger", o.linger.String(), "-record", strconv.Itoa(o.record), "-consumers", strconv.Itoa(o.consumers),
		"-fetch", strconv.Itoa(o.fetch), "-seconds", strconv.Itoa(o.seconds), "-addr", o.addr, "-admin", o.admin}
	if elsewhere {
		args = append(idly(), args...)
	}
	c := &child{cmd: exec.Command(args[0], append(args[1:], more...)...)}
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.stdin, c.out = in, bufio.NewReader(out)
	return c, c.cmd.Start()
}

// idly is the command that runs another one with the time that is left over.
func idly() []string {
	if _, err := exec.LookPath("chrt"); err == nil {
		return []string{"chrt", "--idle", "0"}
	}
	return []string{"nice", "-n", "19"}
}

// receive reads the next thing the child says.
func (c *child) receive(v any) error {
	line, err := c.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s: it ended: %w", strings.Join(c.cmd.Args[:4], " "), err)
	}
	return json.Unmarshal(line, v)
}

// stop ends the child in order.
func (c *child) stop() error {
	_ = c.stdin.Close()
	_, _ = io.Copy(io.Discard, c.out)
	return c.cmd.Wait()
}

// cpu is what a process has used of the CPU so far, in seconds; 0 where there is no /proc.
func cpu(pid int) float64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100 // USER_HZ, the same on every Linux platform
}

// resident is what a process had in memory at most, in MB; 0 where there is no /proc.
func resident(pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kB, _ := strconv.ParseFloat(strings.Fields(rest + " 0")[0], 64)
	return kB * 1024 / 1e6
}

// metric reads a metric of the broker, its series added up.
func (o *options) metric(ctx context.Context, name string) (sum float64, err error) {
	err = o.scrape(ctx, name, func(_ string, v float64) { sum += v })
	return sum, err
}

// scrape calls each for every series of a metric of the broker.
func (o *options) scrape(ctx context.Context, name string, each func(labels string, v float64)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.admin+"/metrics", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	found := false
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return err
		}
		each(rest[:strings.LastIndexByte(rest, ' ')], v)
		found = true
	}
	if !found {
		return fmt.Errorf("the broker has no metric %s", name)
	}
	return nil
}

// waits is how long goroutines of the broker that could run have waited so far: a cumulative histogram, upper bounds in seconds.
func (o *options) waits(ctx context.Context) (h map[float64]float64, err error) {
	h = map[float64]float64{}
	err = o.scrape(ctx, "go_sched_latencies_seconds_bucket", func(labels string, v float64) {
		_, le, _ := strings.Cut(labels, `le="`)
		le, _, _ = strings.Cut(le, `"`)
		if bound, err := strconv.ParseFloat(le, 64); err == nil {
			h[bound] = v
		}
	})
	return h, err
}

// longWait is from when on a wait for a processor counts as long, in seconds: a bound of the histogram's few buckets, of which the next is at 10 ms.
const longWait = 0.00092

// longWaits is how many in a hundred goroutines waited for longer than longWait, between two readings of waits.
func longWaits(before, after map[float64]float64) float64 {
	bounds := slices.Sorted(maps.Keys(after))
	if len(bounds) == 0 {
		return 0
	}
	last, short := bounds[len(bounds)-1], 0.0
	for _, b := range bounds {
		if b <= longWait {
			short = after[b] - before[b]
		}
	}
	return 100 * (1 - short/(after[last]-before[last]))
}

// takeProfile has the broker's CPU profiled for so long, if that is asked for, and does not wait for it.
func (o *options) takeProfile(name string, seconds int) {
	if o.profile == "" {
		return
	}
	go func() {
		res, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", o.admin, seconds))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err == nil {
			err = os.WriteFile(o.profile+name+".pprof", b, 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
