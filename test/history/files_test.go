package history

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// check reads a file of testdata/anomalies. Those without a final read say so themselves.
func checkFile(t *testing.T, path string) *Report {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return h.Check(Want{NoFinalRead: !bytes.Contains(b, []byte(`"f":"final"`))})
}

// TestHandWritten: for every kind of anomaly there is a history that has this one and no other, and one that comes close and has none.
func TestHandWritten(t *testing.T) {
	files, err := filepath.Glob("testdata/anomalies/*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, l := range catalogue {
		for _, kind := range l.kinds {
			name := filepath.Join("testdata/anomalies", strings.ReplaceAll(kind, " ", "-"))
			known[name+".jsonl"], known[name+".near-miss.jsonl"] = true, true
			t.Run(kind, func(t *testing.T) {
				r := checkFile(t, name+".jsonl")
				if got := slices.Collect(maps.Keys(r.Counts)); r.Verdict != FailVerdict || len(got) != 1 || got[0] != kind || len(r.Anomalies) != 1 {
					t.Errorf("want one %q:\n%v", kind, r)
				} else if len(r.Anomalies[0].Operations) == 0 {
					t.Error("it comes without evidence")
				}
				if r := checkFile(t, name+".near-miss.jsonl"); r.Verdict != Pass {
					t.Errorf("the near miss does not pass:\n%v", r)
				}
				for _, line := range r.Checks {
					if failed := slices.Contains(kindsOf(line.Check), kind); failed != (line.Verdict == FailVerdict) {
						t.Errorf("check %q: %v", line.Check, line.Verdict)
					}
				}
			})
		}
	}
	for _, f := range files {
		if !known[f] {
			t.Errorf("%s is of no kind", f)
		}
	}
}

func kindsOf(check string) []string {
	for _, l := range catalogue {
		if l.check == check {
			return l.kinds
		}
	}
	return nil
}

// TestUnreadable: what is no history is refused with the line.
func TestUnreadable(t *testing.T) {
	const head = `{"history":"sluice","version":1}` + "\n" + `{"f":"partition","k":0,"topic":"t","index":0}` + "\n"
	for text, line := range map[string]int{
		"":                                  1,
		"hello\n":                           1,
		`{"history":"sluice","version":2}`:  1,
		`{"history":"jepsen","version":1}`:  1,
		head + "{}\n":                       3,
		head + "nonsense\n{}\n":             3,
		head + `{"t":1,"f":"dance"}` + "\n": 3,
		head + `{"t":1,"f":"fault"}` + "\n": 3,
		head + `{"t":1,"p":1,"f":"send","k":1,"v":0}` + "\n":          3,
		head + `{"t":1,"p":1,"f":"send","k":0,"v":0,"y":1}` + "\n":    3,
		head + `{"t":1,"p":1,"f":"send","k":0,"v":0,"v":1}` + "\n":    3,
		head + `{"t":1,"p":1,"f":"send","k":0,"v":0,"x":1}` + "\n":    3,
		head + `{"t":1,"p":1,"f":"send","k":0,"v":-1}` + "\n":         3,
		head + `{"t":1,"f":"ok","v":0}` + "\n":                        3,
		head + `{"t":1,"f":"end","x":1,"is":"ok"}` + "\n":             3,
		head + `{"t":1,"f":"committed","op":1,"is":"ok"}` + "\n":      3,
		head + `{"t":1,"p":1,"f":"poll","r":[[1,0,0]]}` + "\n":        3,
		head + `{"t":1,"p":1,"f":"poll","r":[[0,0]]}` + "\n":          3,
		head + `{"t":99999999999999999999,"p":1,"f":"crash"}` + "\n":  3,
		head + `{"t":1,"p":1,"f":"assign","g":"g"}` + "\n":            3,
		head + `{"f":"partition","k":2,"topic":"t","index":0}` + "\n": 3,
	} {
		_, err := Read(strings.NewReader(text))
		var wrong *FormatError
		if !errors.As(err, &wrong) || wrong.Line != line {
			t.Errorf("%q: %v, want an error in line %d", text, err, line)
		}
	}
}

// TestLenient: order of keys, space, empty lines and numbering of values are the writer's affair.
func TestLenient(t *testing.T) {
	h, err := Read(strings.NewReader(`{ "version": 1, "history": "sluice", "note": "by hand" }
{"f":"partition","k":0,"topic":"\u0074 \"1\"","index":0}

 { "v" : 70 , "p" : 1, "k" : 0, "f" : "send", "t" : 1 }
{"t":2,"f":"ok","v":70,"o":0}
{"t":1,"p":2,"f":"send","k":0,"v":5000000000}
{"t":2,"f":"ok","v":5000000000,"o":1}
{"t":3,"p":3,"f":"final","r":[ [0, 0, 70, 5000000000] ]}`))
	if err != nil {
		t.Fatal(err)
	}
	if r := h.Check(Want{}); r.Verdict != Pass || r.OK != 2 || r.Reads != 2 || h.partitions[0].Topic != `t "1"` {
		t.Fatal(r)
	}
}

// TestFiles: a history is the same in memory and in files of all kinds, and can be checked while it grows.
func TestFiles(t *testing.T) {
	for _, name := range []string{"h.jsonl", "h.jsonl.gz", "h.jsonl.zst"} {
		path := filepath.Join(t.TempDir(), name)
		rec, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		r := &script{rec, map[TopicPartition][]Value{}}
		for range 1000 {
			r.write(1, p0)
		}
		r.finish()
		if got := Check(rec, Want{}); got.Verdict != Pass || got.OK != 1000 {
			t.Errorf("%s, while it grows: %v", name, got)
		}
		lost := rec.Invoke(1, p1)
		rec.Acknowledged(lost, 7)
		if err := errors.Join(rec.Close(), rec.Close()); err != nil {
			t.Fatal(err)
		}
		h, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Check(Want{}); got.OK != 1001 || got.Counts[unseen] != 1 || h.CutOff {
			t.Errorf("%s: %v", name, got)
		}
		cutOff(t, path)
	}
}

// cutOff takes off the end of a file, as the death of its writer does.
func cutOff(t *testing.T, path string) {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h, err := Read(bytes.NewReader(b[:len(b)-5]))
	if err != nil {
		t.Fatal(err)
	}
	if r := h.Check(Want{NoFinalRead: true}); !h.CutOff || r.Verdict != Unknown {
		t.Errorf("%s without its end: %v", path, r)
	}
}

// TestCreateIn: the name of a test makes a name of a file.
func TestCreateIn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	rec, err := createIn(dir, "TestKill/s3 WAL, S3 server-17")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "TestKill_s3_WAL__S3_server-17.jsonl.zst"); rec.Path() != want || rec.Close() != nil {
		t.Errorf("%s, want %s", rec.Path(), want)
	}
	if none, err := createIn("", "x"); err != nil || none.Path() != "" {
		t.Error(none.Path(), err)
	}
}
