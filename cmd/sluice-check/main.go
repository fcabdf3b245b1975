// Command sluice-check checks a history of what Kafka clients did and saw: package test/history has the format and the checks.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"sluice/test/history"
)

// Exit codes.
const (
	exitPass       = 0
	exitFail       = 1
	exitUnknown    = 2
	exitUnreadable = 3 // also: wrong use
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// command is the command line.
type command struct {
	History      string   `arg:"" optional:"" default:"-" help:"The history: a file, compressed with gzip or zstd or not, or - for standard input (default)."`
	JSON         bool     `name:"json" help:"Print the report as JSON."`
	Quiet        bool     `short:"q" help:"Print the verdict alone, and no progress."`
	Fault        []string `placeholder:"NAME" help:"The run proves something only if this fault has fired; may be given again."`
	Acknowledged int      `placeholder:"N" default:"1" help:"The run proves something only if so many sends were acknowledged (default: 1)."`
	Every        bool     `help:"The run proves something only if every check had something to look at."`
	NoFinalRead  bool     `help:"The history ends without a final read: do not demand one, and do not check what it should have found."`
	WriteEdges   bool     `help:"Also make edges between neighbours in the log, and show cycles that are legal in Kafka."`
	NoClock      bool     `help:"The processes had not one clock: conclude nothing from the times of different ones."`
	Generate     int      `placeholder:"N" help:"Check nothing: print a history of a correct log, of so many sends."`
	Seed         uint64   `default:"1" placeholder:"SEED" help:"What --generate makes follows from it (default: 1)."`
}

// Help implements kong.HelpProvider.
func (c *command) Help() string {
	return `It reads what clients of a Kafka broker sent, were told and read, and looks for what no broker may do: lose, duplicate or reorder what was acknowledged, show what is not committed, and more. Each anomaly comes with the operations that show it.

Examples:
  sluice-check history.jsonl.zst
  zcat history.jsonl.gz | sluice-check --json | jq .anomalies
  sluice-check --fault kill --acknowledged 1000 history.jsonl
  sluice-check --generate 10000000 | sluice-check

Exit codes: 0 pass, 1 fail, 2 unknown (the run proves nothing), 3 not a history, or wrong use.`
}

// exit carries an exit code out of kong.
type exit int

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exit:
			code = int(r)
		default:
			panic(r)
		}
	}()
	var c command
	parser, err := kong.New(&c,
		kong.Name("sluice-check"), kong.Description("Check a history of Kafka clients."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
	)
	if err != nil {
		panic("BUG: sluice-check: " + err.Error())
	}
	if _, err := parser.Parse(args); err != nil {
		fmt.Fprintf(stderr, "sluice-check: %v (see sluice-check --help)\n", err)
		return exitUnreadable
	}
	if c.Generate > 0 {
		if err := history.Generate(stdout, c.Generate, c.Seed); err != nil {
			fmt.Fprintf(stderr, "sluice-check: %v\n", err)
			return exitUnreadable
		}
		return exitPass
	}
	h, err := c.load(stdin, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "sluice-check: %v\n", err)
		return exitUnreadable
	}
	return c.check(h, stdout)
}

// load reads the history, and says on stderr how far it is.
func (c *command) load(stdin io.Reader, stderr io.Writer) (*history.History, error) {
	watch := &progress{out: stderr, next: time.Now().Add(progressEvery), quiet: c.Quiet}
	if c.History == "-" {
		h, err := history.Read(watch.over(stdin))
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		return h, nil
	}
	if info, err := os.Stat(c.History); err == nil {
		watch.total = info.Size()
	}
	h, err := history.OpenWatched(c.History, watch.over)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no file %s", c.History)
	}
	return h, err
}

// progressEvery is how often one is told how far a large file is.
const progressEvery = 2 * time.Second

// progress counts what is read.
type progress struct {
	in    io.Reader
	out   io.Writer
	n     int64
	total int64 // 0: not known
	next  time.Time
	quiet bool
}

func (p *progress) over(in io.Reader) io.Reader {
	p.in = in
	return p
}

// Read implements io.Reader.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.in.Read(b)
	p.n += int64(n)
	if now := time.Now(); !p.quiet && now.After(p.next) {
		p.next = now.Add(progressEvery)
		if p.total > 0 {
			fmt.Fprintf(p.out, "read %d of %d MB\n", p.n/1e6, p.total/1e6)
		} else {
			fmt.Fprintf(p.out, "read %d MB\n", p.n/1e6)
		}
	}
	return n, err
}

func (c *command) check(h *history.History, stdout io.Writer) int {
	r := h.Check(history.Want{
		Faults: c.Fault, Acknowledged: c.Acknowledged, Every: c.Every, NoFinalRead: c.NoFinalRead, WriteEdges: c.WriteEdges, NoClock: c.NoClock,
	})
	switch {
	case c.JSON:
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		if err := e.Encode(r); err != nil {
			panic("BUG: a report has no JSON: " + err.Error())
		}
	case c.Quiet:
		fmt.Fprintln(stdout, r.Verdict)
	default:
		show(stdout, r)
	}
	switch r.Verdict {
	case history.Pass:
		return exitPass
	case history.FailVerdict:
		return exitFail
	}
	return exitUnknown
}

// show prints a report for people.
func show(w io.Writer, r *history.Report) {
	fmt.Fprintf(w, "%d sends: %d acknowledged, %d failed, %d unclear; %d reads", r.Sends, r.OK, r.Failed, r.Unclear, r.Reads)
	if len(r.Faults) > 0 {
		var all []string
		for _, name := range slices.Sorted(maps.Keys(r.Faults)) {
			all = append(all, fmt.Sprintf("%s %d", name, r.Faults[name]))
		}
		fmt.Fprintf(w, "; faults: %s", strings.Join(all, ", "))
	}
	fmt.Fprintf(w, "\n\n")
	for _, l := range r.Checks {
		text := fmt.Sprintf("%d %s", l.Examined, l.Of)
		if l.Verdict == history.Unknown {
			text = "no " + l.Of
		}
		for _, kind := range slices.Sorted(maps.Keys(l.Counts)) {
			text += fmt.Sprintf("; %s: %d", kind, l.Counts[kind])
		}
		fmt.Fprintf(w, "%-8s %-21s %-9s %s\n", l.Verdict, l.Check, l.Guarantee, text)
	}
	for _, a := range r.Anomalies {
		tell(w, a)
	}
	for _, a := range r.Notes {
		tell(w, history.Anomaly{Kind: "note, " + a.Kind, Text: a.Text, Operations: a.Operations})
	}
	if len(r.Missing) > 0 {
		fmt.Fprintln(w)
	}
	for _, m := range r.Missing {
		fmt.Fprintf(w, "missing: %s\n", m)
	}
	fmt.Fprintf(w, "\n%s\n", r.Verdict)
}

func tell(w io.Writer, a history.Anomaly) {
	fmt.Fprintf(w, "\n%s: %s\n", a.Kind, a.Text)
	for _, o := range a.Operations {
		fmt.Fprintf(w, "    %v\n", o)
	}
}
