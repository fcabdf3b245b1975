package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// target is one fuzz test.
type target struct{ pkg, dir, name string }

var declaration = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

// targets finds all fuzz tests of the module that this machine can build.
func targets(ctx context.Context) (all []target, err error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{$p := .}}{{range .TestGoFiles}}{{$p.ImportPath}} {{$p.Dir}} {{.}}\n{{end}}{{range .XTestGoFiles}}{{$p.ImportPath}} {{$p.Dir}} {{.}}\n{{end}}", "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("list packages: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		source, err := os.ReadFile(filepath.Join(f[1], f[2]))
		if err != nil {
			return nil, err
		}
		for _, m := range declaration.FindAllSubmatch(source, -1) {
			all = append(all, target{pkg: f[0], dir: f[1], name: string(m[1])})
		}
	}
	return all, nil
}

// crashers are the names of the inputs in testdata, of which a run adds the ones that fail.
func (t target) crashers() map[string]bool {
	names := map[string]bool{}
	entries, _ := os.ReadDir(filepath.Join(t.dir, "testdata", "fuzz", t.name))
	for _, e := range entries {
		names[e.Name()] = true
	}
	return names
}

// inputMax bounds an input of the corpus in the repository.
const inputMax = 2 << 10

// keep copies inputs that reached new code from the cache to testdata, the shortest first, until there are n.
func (t target) keep(cache string, n int) error {
	from, to := filepath.Join(cache, filepath.FromSlash(t.pkg), t.name), filepath.Join(t.dir, "testdata", "fuzz", t.name)
	entries, err := os.ReadDir(from)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var infos []fs.FileInfo
	for _, e := range entries {
		if i, err := e.Info(); err == nil && i.Size() <= inputMax {
			infos = append(infos, i)
		}
	}
	sort.SliceStable(infos, func(i, j int) bool { return infos[i].Size() < infos[j].Size() })
	// Every so many: the shortest inputs alone are those that are refused at once.
	have := len(t.crashers())
	step := max(1, len(infos)/max(1, n-have))
	for i := 0; i < len(infos) && have < n; i += step {
		b, err := os.ReadFile(filepath.Join(from, infos[i].Name()))
		if err != nil {
			return err
		}
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, infos[i].Name()), b, 0o644); err != nil {
			return err
		}
		have++
	}
	return nil
}

var status = regexp.MustCompile(`execs: (\d+) .*\(total: (\d+)\)`)

// progress reads the last line that says how many executions there were, and how many inputs are kept.
func progress(out []byte) (executions, interesting int64) {
	m := status.FindAllSubmatch(bytes.TrimSpace(out), -1)
	if len(m) == 0 {
		return 0, 0
	}
	executions, _ = strconv.ParseInt(string(m[len(m)-1][1]), 10, 64)
	interesting, _ = strconv.ParseInt(string(m[len(m)-1][2]), 10, 64)
	return executions, interesting
}
