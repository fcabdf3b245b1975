//go:build !wasip1

package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// errOtherRuntime says that Go's runtime is not as the edits expect it.
var errOtherRuntime = errors.New("this version of Go has another runtime")

// An edit replaces a text that is in a file of Go's own source exactly once.
type edit struct{ file, old, new string }

// edits make a program for Linux whose time, randomness and order of goroutines follow from its first argument, with GOMAXPROCS=1 and the build tag faketime, by which the clock
// is a variable that the scheduler moves when nothing can go on. What else could make a difference:
//
//   - sysmon, a thread that takes the processor from a goroutine by real time: there is none, as in WebAssembly.
//   - A second thread: main is not tied to its own while packages are initialised, so that one is never needed.
//   - Randomness: the first seed is the argument, threads share one state, and what the kernel would give to package crypto comes from it.
//   - Looks of the program at the clock move it (see [clock], which does the same for WebAssembly), those of the runtime do not.
//   - Writes to standard output are what they always are, which the tag would change.
//
// The address space must not be random either: maps hash pointers. That is an experiment of the compiler, see [buildNative].
var edits = []edit{
	{"runtime/proc.go", `const haveSysmon = GOARCH != "wasm"`, `const haveSysmon = false`},
	{"runtime/proc.go", "	lockOSThread()\n\n	if mp != &m0 {", "	if mp != &m0 {"},
	{"runtime/proc.go", "	needUnlock = false\n	unlockOSThread()", "	needUnlock = false"},
	{"runtime/proc.go", "	grunning := 0\n	forEachG", "	if passTime() {\n		return\n	}\n	grunning := 0\n	forEachG"},
	{"runtime/rand.go", "	globalRand.state.Init(*seed)\n	clear(seed[:])", "	seedOfWorld(seed[:])\n	globalRand.state.Init(*seed)\n	clear(seed[:])"},
	{"runtime/rand.go", "	mp := getg().m\n	c := &mp.chacha8", "	mp := &m0\n	c := &mp.chacha8"},
	{"runtime/rand.go", "	mp := getg().m\n	// Implement wyrand", "	mp := &m0\n	// Implement wyrand"},
	{"runtime/time.go", "	return nanotime()\n}\n\n//go:linkname time_runtimeIsBubbled", "	return look()\n}\n\n//go:linkname time_runtimeIsBubbled"},
	{"syscall/time_fake.go", "const faketime = true", "const faketime = false"},
	{"crypto/internal/sysrand/rand.go", "func Read(b []byte) {\n", "//go:linkname runtimeRand runtime.rand\nfunc runtimeRand() uint64\n\nfunc Read(b []byte) {\n	for i := range b {\n		b[i] = byte(runtimeRand())\n	}\n	return\n"},
}

// timeFake takes the place of runtime/time_fake.go.
//
//go:embed native/time_fake.go.txt
var timeFake []byte

// goroot is where Go is.
func goroot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	return strings.TrimSpace(string(out)), err
}

// edited returns the files of src that are to be replaced, by path.
func edited(src string) (map[string][]byte, error) {
	files := map[string][]byte{"runtime/time_fake.go": timeFake}
	for _, e := range edits {
		text, ok := files[e.file]
		if !ok {
			var err error
			if text, err = os.ReadFile(filepath.Join(src, e.file)); err != nil {
				return nil, fmt.Errorf("%w: %w", errOtherRuntime, err)
			}
		}
		if n := bytes.Count(text, []byte(e.old)); n != 1 {
			return nil, fmt.Errorf("%w: %s has %q %d times", errOtherRuntime, e.file, e.old, n)
		}
		files[e.file] = bytes.Replace(text, []byte(e.old), []byte(e.new), 1)
	}
	return files, nil
}

// writeOverlay writes the edited files into dir, and a file for the go command that says what they replace. It returns that file's name.
func writeOverlay(src, dir string) (string, error) {
	files, err := edited(src)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for name, text := range files {
		path := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return "", err
		}
		replace[filepath.Join(src, name)] = path
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, text, 0o644)
}
