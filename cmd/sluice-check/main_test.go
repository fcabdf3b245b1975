package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sluice/test/history"
)

// TestMain has the test binary be the command when it is told to.
func TestMain(m *testing.M) {
	if os.Getenv("BE_SLUICE_CHECK") != "" {
		main()
	}
	os.Exit(m.Run())
}

// runCommand runs the command as a process.
func runCommand(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "BE_SLUICE_CHECK=1")
	cmd.Stdin = strings.NewReader(stdin)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), complaint.String()
}

// recorded is a history of one record, which the final read finds or not.
func recorded(t *testing.T, found bool) string {
	t.Helper()
	rec, p := history.NewRecorder(), history.TopicPartition{Topic: "t", Index: 0}
	v := rec.Invoke(1, p)
	rec.Acknowledged(v, 0)
	rec.Polled(2, []history.Record{{Partition: p, Offset: 0, Value: v}})
	rec.Fault("kill")
	rec.PolledFinally(3, nil)
	if found {
		rec.PolledFinally(3, []history.Record{{Partition: p, Offset: 0, Value: v}})
	}
	var b strings.Builder
	if _, err := rec.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestExitCodes: what a script goes by.
func TestExitCodes(t *testing.T) {
	good, bad := recorded(t, true), recorded(t, false)
	file := filepath.Join(t.TempDir(), "h.jsonl")
	if err := os.WriteFile(file, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, stdin string
		args        []string
		code        int
		out, err    string // parts of what is printed
	}{
		{"pass", good, nil, 0, "1 sends: 1 acknowledged", ""},
		{"a file", "", []string{"-q", file}, 0, "pass\n", ""},
		{"fail", bad, nil, 1, "unseen: ", ""},
		{"fail, quiet", bad, []string{"--quiet"}, 1, "fail\n", ""},
		{"unknown", good, []string{"--fault", "pause"}, 2, `missing: fault "pause" never fired`, ""},
		{"too few", good, []string{"--acknowledged=2"}, 2, "missing: 1 sends were acknowledged, 2 would prove something", ""},
		{"nothing for a check", good, []string{"--every"}, 2, `missing: there was nothing for the check "cycles"`, ""},
		{"fail goes before unknown", bad, []string{"--fault", "pause"}, 1, "fault \"pause\" never fired", ""},
		{"not a history", "hello\n", nil, 3, "", "line 1"},
		{"no file", "", []string{file + "x"}, 3, "", "there is no file " + file + "x"},
		{"no such flag", good, []string{"--faults"}, 3, "", "unknown flag --faults"},
		{"help", "", []string{"--help"}, 0, "Exit codes: 0 pass, 1 fail, 2 unknown", ""},
		{"generate", "", []string{"--generate", "10"}, 0, `"history":"sluice"`, ""},
	} {
		code, out, complaint := runCommand(t, c.stdin, c.args...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(complaint, c.err) || c.out == "" && out != "" || c.err == "" && complaint != "" {
			t.Errorf("%s: exit code %d, want %d; printed %q and %q, want %q and %q", c.name, code, c.code, out, complaint, c.out, c.err)
		}
	}
}

// TestJSON: the report is there for programs, in every verdict.
func TestJSON(t *testing.T) {
	for _, found := range []bool{true, false} {
		code, out, _ := runCommand(t, recorded(t, found), "--json")
		var r history.Report
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]history.Verdict{true: history.Pass, false: history.FailVerdict}[found]; r.Verdict != want || code != map[bool]int{true: 0, false: 1}[found] {
			t.Errorf("found %v: %v, exit code %d", found, r.Verdict, code)
		}
		if len(r.Checks) != 11 || r.Faults["kill"] != 1 || r.OK != 1 || found != (len(r.Anomalies) == 0) || !found && len(r.Anomalies[0].Operations) == 0 {
			t.Errorf("found %v: %s", found, out)
		}
	}
}

// TestGenerated: what --generate prints passes, and fails with a record taken out of what the broker had acknowledged.
func TestGenerated(t *testing.T) {
	_, text, _ := runCommand(t, "", "--generate", "1000", "--seed", "7")
	if code, out, _ := runCommand(t, text, "-q"); code != 0 {
		t.Errorf("exit code %d, %s", code, out)
	}
	lines := strings.SplitAfter(text, "\n")
	for i, l := range lines {
		if strings.Contains(l, `"f":"final"`) && strings.Contains(l, `"r":`) {
			lines[i] = l[:strings.Index(l, `,"r":`)] + "}\n"
		}
	}
	if code, out, _ := runCommand(t, strings.Join(lines, ""), "-q"); code != 1 {
		t.Errorf("without what was read in the end: exit code %d, %s", code, out)
	}
}
