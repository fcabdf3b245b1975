//go:build unix

package etcdtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/test/process"
)

// Server is an etcd server, a cluster of one unless it was started by StartThree.
type Server struct {
	Client string // HOST:PORT for clients

	name, dir, peer string
	initial         string // --initial-cluster
	args            []string
	process         *process.Process // of the last launch
}

// Start starts a server for the test, with more flags for etcd if need be, and returns it. It ends with the test.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	for try := 1; ; try++ { // a port that was free a moment ago may be taken
		servers, err := runCluster(t.Context(), t.TempDir(), 1, args)
		if err == nil {
			t.Cleanup(func() { end(t, servers) })
			return servers[0]
		}
		if t.Context().Err() != nil || try == 5 {
			t.Fatalf("start etcd: %v", err)
		}
	}
}

// StartThree starts a cluster of three members for the test.
func StartThree(t testing.TB, args ...string) []*Server {
	t.Helper()
	for try := 1; ; try++ {
		servers, err := runCluster(t.Context(), t.TempDir(), 3, args)
		if err == nil {
			t.Cleanup(func() { end(t, servers) })
			return servers
		}
		if t.Context().Err() != nil || try == 5 {
			t.Fatalf("start three members of etcd: %v", err)
		}
	}
}

func end(t testing.TB, servers []*Server) {
	for _, s := range servers {
		s.Kill()
		if t.Failed() {
			t.Logf("etcd %s: %s", s.name, s.process.Output)
		}
	}
}

// URL returns the URL of a prefix in the etcd of these servers for objstore.Open.
func URL(prefix string, servers ...*Server) string {
	var hosts []string
	for _, s := range servers {
		hosts = append(hosts, s.Client)
	}
	return "etcd://" + strings.Join(hosts, ",") + "/" + prefix
}

func runCluster(ctx context.Context, dir string, n int, args []string) (servers []*Server, err error) {
	addrs, err := freeAddresses(2 * n)
	if err != nil {
		return nil, err
	}
	var initial []string
	for i := range n {
		s := &Server{Client: addrs[2*i], peer: addrs[2*i+1], name: fmt.Sprintf("m%d", i), args: args}
		s.dir = filepath.Join(dir, s.name)
		initial = append(initial, s.name+"=http://"+s.peer)
		servers = append(servers, s)
	}
	for _, s := range servers {
		s.initial = strings.Join(initial, ",")
		if err == nil {
			err = s.launch()
		}
	}
	for _, s := range servers {
		if err == nil {
			err = s.AwaitReady(ctx)
		}
	}
	if err != nil {
		for _, s := range servers {
			s.Kill()
			err = fmt.Errorf("etcd %s: %w", s.name, err)
		}
		return nil, err
	}
	return servers, nil
}

// launch starts the process.
func (s *Server) launch() error {
	binary, err := Binary()
	if err != nil {
		return err
	}
	args := append([]string{"--name", s.name, "--data-dir", s.dir, "--initial-cluster", s.initial, "--initial-cluster-token", filepath.Dir(s.dir),
		"--listen-client-urls", "http://" + s.Client, "--advertise-client-urls", "http://" + s.Client,
		"--listen-peer-urls", "http://" + s.peer, "--initial-advertise-peer-urls", "http://" + s.peer}, s.args...)
	s.process, err = process.Start(binary, args...)
	return err
}

// AwaitReady waits until the server answers and its cluster has a leader.
func (s *Server) AwaitReady(ctx context.Context) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return s.process.Await(ctx, func() bool {
		resp, err := client.Get("http://" + s.Client + "/health")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// Kill ends the server at once, as a crash would, and waits until it is gone.
func (s *Server) Kill() {
	if s.process != nil {
		s.process.Kill()
	}
}

// Restart starts a server that was killed, with the data and the addresses that it had, and waits until it answers.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.launch(); err != nil {
		return err
	}
	return s.AwaitReady(ctx)
}

// Pause makes the server hang, as a machine that has stalled; Resume lets it go on.
func (s *Server) Pause() error { return syscall.Kill(s.process.PID, syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (s *Server) Resume() error { return syscall.Kill(s.process.PID, syscall.SIGCONT) }

func freeAddresses(n int) (addrs []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all of them are open together, so they differ
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// Binary returns the path of the server's executable.
func Binary() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for up := filepath.Dir(dir); dir != up; dir, up = up, filepath.Dir(up) {
		unpacked := filepath.Join(dir, ".cache", "etcd", "usr", "bin", "etcd")
		if _, err := os.Stat(unpacked); err == nil {
			return unpacked, nil
		}
	}
	path, err := exec.LookPath("etcd")
	if err != nil {
		return "", errors.New("there is no etcd: run make deps")
	}
	return path, nil
}
