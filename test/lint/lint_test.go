package lint

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// pkg is what `go list` says of a package.
type pkg struct {
	ImportPath   string
	Name         string
	Dir          string
	Doc          string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, "sluice/") }

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Dir,Doc,GoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// layers maps each name of layers.txt to its place: the layer, then the position in it.
type place struct {
	layer    string
	row, col int
}

func layers(t *testing.T) map[string]place {
	t.Helper()
	out := map[string]place{}
	for row, line := range lines(t, "layers.txt") {
		layer, names, ok := strings.Cut(line, ":")
		if !ok {
			t.Fatalf("layers.txt: %q: want LAYER: NAME NAME …", line)
		}
		for col, name := range strings.Fields(names) {
			out[name] = place{layer, row, col}
		}
	}
	return out
}

func placeOf(all map[string]place, name string) (string, place, bool) {
	for n := name; n != "." && n != "/"; n = filepath.Dir(n) {
		if p, ok := all[n]; ok {
			return n, p, true
		}
	}
	return "", place{}, false
}

func TestLayers(t *testing.T) {
	all := layers(t)
	for _, p := range packages(t) {
		unit, at, ok := placeOf(all, p.name())
		if !ok {
			t.Errorf("%s has no place in layers.txt", p.name())
			continue
		}
		if at.layer == "test" {
			continue
		}
		for _, imp := range p.Imports {
			name, own := strings.CutPrefix(imp, "sluice/")
			if !own {
				continue
			}
			other, to, ok := placeOf(all, name)
			if ok && other != unit && (to.row > at.row || to.row == at.row && to.col > at.col) {
				t.Errorf("%s (%s) imports %s (%s), which stands above it", p.name(), at.layer, name, to.layer)
			}
		}
	}
}

func TestEveryPackageIsDocumented(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && len(p.Doc) < 20 {
			t.Errorf("%s has no package documentation", p.name())
		}
		if strings.HasPrefix(p.name(), "test/") || len(p.GoFiles) < 3 || p.Name == "main" {
			continue
		}
		if !slices.Contains(p.GoFiles, "doc.go") {
			t.Errorf("%s: the package documentation belongs into doc.go", p.name())
		}
	}
}

func TestNoVagueNames(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains([]string{"util", "utils", "common", "helpers", "misc"}, filepath.Base(p.name())) {
			t.Errorf("%s: name it for what it does", p.name())
		}
	}
}

// TestMachinesArePure: a machine.go has no goroutine, clock, context, log or I/O.
func TestMachinesArePure(t *testing.T) {
	banned := []string{"context", "log", "log/slog", "os", "net", "io", "io/fs", "sync", "sync/atomic", "math/rand", "math/rand/v2"}
	eachFile(t, func(path string, fset *token.FileSet, file *ast.File) {
		if !strings.HasSuffix(path, "machine.go") {
			return
		}
		for _, imp := range file.Imports {
			if name := strings.Trim(imp.Path.Value, `"`); slices.Contains(banned, name) {
				t.Errorf("%s imports %s: a machine is pure", path, name)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine: a machine is pure", fset.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "NewTimer", "AfterFunc", "Tick", "NewTicker"}, n.Sel.Name) {
					t.Errorf("%s reads the clock: in a machine time is an argument", fset.Position(n.Pos()))
				}
			}
			return true
		})
	})
}

// TestEnvironmentIsReadOnlyByTheCommandLine: main hands the environment to the command line, and settings reach components as arguments.
func TestEnvironmentIsReadOnlyByTheCommandLine(t *testing.T) {
	eachFile(t, func(path string, fset *token.FileSet, file *ast.File) {
		if strings.HasPrefix(path, "cmd/") || strings.HasPrefix(path, "test/") || path == "base/seeded/on.go" { // the last is in no released binary
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "os" && slices.Contains([]string{"Getenv", "LookupEnv", "Environ"}, s.Sel.Name) {
					t.Errorf("%s reads the environment: only main may", fset.Position(n.Pos()))
				}
			}
			return true
		})
	})
}

const (
	functionLinesMax = 70
	fileLinesMax     = 600
)

// TestSizeRatchet: no function grows past functionLinesMax and no file past fileLinesMax. Those that are longer for a reason stand
// in size.txt with their length and the reason; they may only shrink.
func TestSizeRatchet(t *testing.T) {
	allowed := map[string]int{}
	for _, line := range lines(t, "size.txt") {
		var name string
		var n int
		if _, err := fmt.Sscan(line, &name, &n); err != nil {
			t.Fatalf("size.txt: %q: want NAME LINES reason: %v", line, err)
		}
		allowed[name] = n
	}
	used := map[string]bool{}
	check := func(name string, n, limit int) {
		if a, ok := allowed[name]; ok {
			used[name] = true
			limit = a
		}
		if n > limit {
			t.Errorf("%s has %d lines, at most %d: split it, or give the reason in test/lint/size.txt", name, n, limit)
		}
	}
	eachFile(t, func(path string, fset *token.FileSet, file *ast.File) {
		check(path, fset.File(file.Pos()).LineCount(), fileLinesMax)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				check(path+":"+f.Name.Name, fset.Position(f.End()).Line-fset.Position(f.Pos()).Line+1, functionLinesMax)
			}
		}
	})
	for name := range allowed {
		if !used[name] {
			t.Errorf("size.txt: %s does not exist any more", name)
		}
	}
}

// TestDependenciesHaveAReason: every direct requirement of go.mod stands in dependencies.txt with what it is for.
func TestDependenciesHaveAReason(t *testing.T) {
	reasons := map[string]bool{}
	for _, line := range lines(t, "dependencies.txt") {
		name, reason, _ := strings.Cut(line, " ")
		if strings.TrimSpace(reason) == "" {
			t.Errorf("dependencies.txt: %s has no reason", name)
		}
		reasons[name] = true
	}
	cmd := exec.Command("go", "mod", "edit", "-json")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Require {
		if !r.Indirect && !reasons[r.Path] {
			t.Errorf("go.mod requires %s: say what for in test/lint/dependencies.txt", r.Path)
		}
		delete(reasons, r.Path)
	}
	for name := range reasons {
		t.Errorf("dependencies.txt names %s, which go.mod does not require", name)
	}
}

// TestBuildsForWasip1: the whole broker must run in the simulation.
func TestBuildsForWasip1(t *testing.T) {
	cmd := exec.Command("go", "build", "./app/node", "./broker/...", "./edge/...", "./cluster/...", "./storage/...", "./wire/...", "./base/...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the broker does not build for wasip1: %v\n%s", err, out)
	}
}

// TestFormatted: every Go file is as gofmt writes it, tests, generated files and other modules of the tree included.
func TestFormatted(t *testing.T) {
	n := 0
	eachSource(t, func(path string) error {
		n++
		have, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		want, err := format.Source(have)
		if err == nil && !bytes.Equal(have, want) {
			t.Errorf("%s: gofmt would change it", path)
		}
		return err
	})
	if n < 500 {
		t.Errorf("%d files were looked at: where are the others?", n)
	}
}

// eachSource calls fn with the path of every Go file.
func eachSource(t *testing.T, fn func(path string) error) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		return fn(path)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// eachFile calls fn with every hand-written Go file that is not a test.
func eachFile(t *testing.T, fn func(path string, fset *token.FileSet, file *ast.File)) {
	t.Helper()
	eachSource(t, func(path string) error {
		if strings.HasSuffix(path, "_test.go") {
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		if !ast.IsGenerated(file) {
			rel, _ := filepath.Rel(root, path)
			fn(filepath.ToSlash(rel), fset, file)
		}
		return nil
	})
}

// lines reads a list of this package: one entry a line, comments start with #.
func lines(t *testing.T, name string) []string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []string
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}
