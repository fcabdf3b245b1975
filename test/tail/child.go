package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
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

// start starts a child with the options as they are, and the lowest priority if it is to have that.
func (o *options) start(role string, lowest bool, more ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{self, "-role", role, "-cold", o.cold, "-dir", o.dir, "-bucket", o.bucket, "-wal", o.wal, "-first-byte", o.firstByte.String(), "-memory", o.memory, "-bandwidth", strconv.Itoa(o.bandwidth),
		"-rate", strconv.Itoa(o.rate), "-linger", o.linger.String(), "-record", strconv.Itoa(o.record), "-consumers", strconv.Itoa(o.consumers),
		"-fetch", strconv.Itoa(o.fetch), "-seconds", strconv.Itoa(o.seconds), "-addr", o.addr, "-admin", o.admin}
	if lowest {
		args = append([]string{"nice", "-n", "19"}, args...)
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
func (o *options) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.admin+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	sum, found := 0.0, false
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, err
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, fmt.Errorf("the broker has no metric %s", name)
	}
	return sum, nil
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
