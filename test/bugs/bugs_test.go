package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/base/seeded"
)

// places finds where the code asks for mistakes: the packages of each constant of package seeded that is an argument of seeded.Bug.
func places(t *testing.T) map[string][]string {
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || path == "test" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && len(call.Args) == 1 && isSeeded(call.Fun) == "Bug" {
				found[isSeeded(call.Args[0])] = append(found[isSeeded(call.Args[0])], filepath.ToSlash(filepath.Dir(path)))
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// isSeeded returns NAME of the expression seeded.NAME, "" if it is another one.
func isSeeded(e ast.Expr) string {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if x, ok := s.X.(*ast.Ident); !ok || x.Name != "seeded" {
		return ""
	}
	return s.Sel.Name
}

// constants maps the constants of package seeded to their values.
func constants(t *testing.T) map[string]seeded.Name {
	file, err := parser.ParseFile(token.NewFileSet(), "base/seeded/bugs.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]seeded.Name{}
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			if text, ok := v.Values[0].(*ast.BasicLit); ok && v.Names[0].Name != "Env" {
				values[v.Names[0].Name] = seeded.Name(strings.Trim(text.Value, `"`))
			}
		}
	}
	return values
}

func TestMain(m *testing.M) {
	if err := os.Chdir("../.."); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestPlaces: every mistake is asked for in the packages that the registry names, and only there, and tests are planned for it.
func TestPlaces(t *testing.T) {
	found, values := places(t), constants(t)
	for c := range found {
		if _, ok := values[c]; !ok {
			t.Errorf("seeded.Bug(seeded.%s) in %v: there is no such constant", c, found[c])
		}
	}
	for c, name := range values {
		e, ok := seeded.Find(name)
		if !ok {
			t.Errorf("%s is not in the registry", name)
			continue
		}
		want, got := strings.Split(e.Place, ", "), slices.Compact(slices.Sorted(slices.Values(found[c])))
		if !slices.Equal(got, want) {
			t.Errorf("%s is planted in %v, the registry says %v", name, got, want)
		}
		if len(plan[name]) == 0 {
			t.Errorf("%s: no tests are planned", name)
		}
	}
	if len(values) != len(seeded.All()) || len(plan) != len(values) {
		t.Errorf("%d constants, %d entries, %d plans", len(values), len(seeded.All()), len(plan))
	}
}

// TestTableIsOfTheResults: the page says what results.json says.
func TestTableIsOfTheResults(t *testing.T) {
	var r results
	if err := r.load(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), begin+r.table(layers)+end) {
		t.Errorf("%s has another table of seeded bugs than %s: go run ./test/bugs -table", page, resultsFile)
	}
}

// TestNothingIsLeftOfThem: the compiler drops the places in an ordinary build, and keeps them in one with the tag.
func TestNothingIsLeftOfThem(t *testing.T) {
	for _, pkg := range []string{"sluice/storage/slotlog"} {
		for _, tags := range []string{"", "seededbugs"} {
			out, err := exec.Command("go", "build", "-trimpath", "-tags", tags, "-gcflags="+pkg+"=-S", pkg).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !strings.Contains(string(out), "TEXT") {
				t.Fatalf("no assembly:\n%s", tail(out))
			}
			asks := strings.Contains(string(out), "CALL\tsluice/base/seeded.") || strings.Contains(string(out), "exists-is-success")
			if want := tags != ""; asks != want {
				t.Errorf("%s with tags %q asks for mistakes: %v", pkg, tags, asks)
			}
		}
	}
}

// TestShortForm finds a mistake of a package that is quickly built with the tag. For all of them: make bugs.
func TestShortForm(t *testing.T) {
	r := &runner{budget: time.Minute, controls: map[try]error{}, binaries: map[string]string{}}
	quick := try{unit, slotlog, "TestSealOfAnEmptyEpoch"}
	if err := r.control(t.Context(), quick); err != nil {
		t.Fatal(err)
	}
	out, err := r.run(t.Context(), quick, seeded.ExistsIsSuccess)
	if err == nil {
		t.Fatal("it is not found")
	}
	if _, err := verdict(quick, out); err != nil {
		t.Error(err)
	}
}

// TestEveryOneIsFound: what was seen last has a layer for each mistake that finds it.
func TestEveryOneIsFound(t *testing.T) {
	var r results
	if err := r.load(); err != nil {
		t.Fatal(err)
	}
	for _, e := range seeded.All() {
		found := false
		for _, o := range r[e.Name] {
			found = found || o.Found
		}
		if !found {
			t.Errorf("nothing finds %s: a check or a fault is missing (make bugs ONLY=%s)", e.Name, e.Name)
		}
	}
}
