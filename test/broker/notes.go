package broker

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Notes are files about a test that failed, for whoever looks into it.
type Notes struct {
	T    testing.TB
	Dir  string // is made if need be; "": none are written
	Name string // begins the name of each
}

// Write writes a file.
func (n Notes) Write(what string, write func(io.Writer) error) {
	if n.Dir == "" {
		return
	}
	if err := os.MkdirAll(n.Dir, 0o755); err != nil {
		n.T.Log(err)
		return
	}
	path := filepath.Join(n.Dir, fmt.Sprintf("%s-%s.txt", n.Name, what))
	f, err := os.Create(path)
	if err != nil {
		n.T.Log(err)
		return
	}
	defer f.Close()
	if err := write(f); err != nil {
		n.T.Log(err)
		return
	}
	n.T.Logf("%s: %s", what, path)
}

// Log writes what a broker has printed.
func (n Notes) Log(name string, p *Process) {
	n.Write(name, func(f io.Writer) error {
		_, err := io.WriteString(f, p.Log())
		return err
	})
}

// Doing writes what a running broker is doing: its goroutines, its metrics, its view of the cluster.
func (n Notes) Doing(name string, p *Process) {
	if n.Dir == "" {
		return
	}
	client := http.Client{Timeout: 5 * time.Second}
	for what, path := range map[string]string{"goroutines": "/debug/pprof/goroutine?debug=2", "metrics": "/metrics", "cluster": "/v1/cluster"} {
		n.Write(name+"-"+what, func(f io.Writer) error {
			res, err := client.Get("http://" + p.Admin + path)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			_, err = io.Copy(f, res.Body)
			return err
		})
	}
}
