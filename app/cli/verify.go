package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"sluice/base"
	"sluice/broker/partition"
	"sluice/cluster/audit"
	"sluice/storage/objstore"
)

type verifyCmd struct {
	placeFlags
	Deep     bool    `help:"Also read every block of every object, check every checksum and decode every record batch."`
	Parallel int     `default:"8" placeholder:"N" help:"Objects looked at at the same time (default: 8)."`
	Limit    sizeArg `default:"0" placeholder:"SIZE" help:"Read at most so many bytes a second, such as 50MiB; 0 is no limit (default)."`
	Resume   string  `type:"path" placeholder:"FILE" help:"Keep in this file how far the verification is, and go on from there if it exists. It is removed when the verification has come to its end."`
	JSON     bool    `name:"json" help:"Print the report as JSON on standard output; progress goes to standard error."`
}

// Help implements kong.HelpProvider.
func (c *verifyCmd) Help() string {
	return `It reads the metadata log from the bucket alone and compares it with what is stored: every object the metadata needs is there, has its size and says of itself what the metadata says; the ranges of every stream cover its offsets; logs have no holes; nothing lies about that nobody needs. It writes nothing, and brokers may be running meanwhile.

Examples:
  sluice verify                                      the cluster in ./data
  sluice verify --bucket s3://events?region=eu-west-1
  sluice verify --deep --limit 100MiB --resume verify.state
  sluice verify --json | jq .findings

Exit codes: 0 all is well (notes do not count), 1 there are findings or it could not be finished, 2 wrong use, 130 interrupted.`
}

const (
	resumeEvery   = 5 * time.Second // between two writes of the --resume file
	progressEvery = 10 * time.Second
	barEvery      = 200 * time.Millisecond
)

func (c *verifyCmd) Run(ctx context.Context, p *Process) error {
	if c.Parallel < 1 || c.Parallel > 1000 {
		return base.Errorf(base.Invalid, "--parallel %d: want a number from 1 to 1000", c.Parallel)
	}
	state, err := c.state()
	if err != nil {
		return err
	}
	s, err := c.open(ctx, p)
	if err != nil {
		return err
	}
	bar := newBar(p.Stderr, c.Deep)
	saved := time.Now()
	report, err := audit.Verify(ctx, audit.Options{
		Bucket: s.bucket, Meta: s.meta, Deep: c.Deep, Parallel: c.Parallel, BytesPerSecond: int64(c.Limit), Logger: s.log,
		OpenStore: func(ctx context.Context, url string) (objstore.Store, error) { return c.store(ctx, p, url, s.log) },
		CheckMeta: partition.CheckSnapshotParts, State: state,
		Progress: func(pr audit.Progress) {
			bar.show(pr)
			if c.Resume != "" && time.Since(saved) >= resumeEvery {
				saved = time.Now()
				c.save(p, state)
			}
		},
		Found: func(f audit.Finding) {
			if !c.JSON {
				bar.clear()
				fmt.Fprintf(p.Stdout, "%v\n    to do: %s\n", f, f.Advice)
			}
		},
	})
	bar.clear()
	if err != nil {
		c.save(p, state)
		return c.stopped(ctx, err)
	}
	if c.Resume != "" {
		os.Remove(c.Resume)
	}
	return c.print(p, report)
}

// stopped makes the error of a verification that did not come to its end.
func (c *verifyCmd) stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		if c.Resume != "" {
			err = fmt.Errorf("interrupted; the same command goes on from here")
		} else {
			err = fmt.Errorf("interrupted; with --resume FILE the next one could go on from here")
		}
		return &codeError{exitInterrupted, err}
	}
	if base.IsKind(err, base.NotFound) {
		return base.Wrap(base.Invalid, err)
	}
	return fmt.Errorf("the verification could not be finished: %w", err)
}

func (c *verifyCmd) state() (*audit.State, error) {
	if c.Resume == "" {
		return nil, nil
	}
	if err := writable(c.Resume + ".new"); err != nil { // now, and not after an hour
		return nil, base.Errorf(base.Invalid, "--resume: %w", err)
	}
	b, err := os.ReadFile(c.Resume)
	if errors.Is(err, fs.ErrNotExist) {
		return new(audit.State), nil
	}
	if err != nil {
		return nil, base.Errorf(base.Invalid, "--resume: %w", err)
	}
	s, err := audit.ParseState(b)
	if err != nil {
		return nil, fmt.Errorf("--resume %s: %w", c.Resume, err)
	}
	return s, nil
}

// writable reports why a file cannot be written; one that is there is replaced.
func writable(path string) error {
	err := os.WriteFile(path, nil, 0o644)
	if err == nil {
		err = os.Remove(path)
	}
	return err
}

// save writes the state beside the file and renames it, so that a crash leaves the old one or the new one.
func (c *verifyCmd) save(p *Process, s *audit.State) {
	if c.Resume == "" || s.Cluster == "" {
		return
	}
	err := os.WriteFile(c.Resume+".new", s.Encode(), 0o644)
	if err == nil {
		err = os.Rename(c.Resume+".new", c.Resume)
	}
	if err != nil {
		fmt.Fprintf(p.Stderr, "sluice: cannot keep how far the verification is: %v\n", err)
	}
}

func (c *verifyCmd) print(p *Process, r *audit.Report) error {
	if c.JSON {
		enc := json.NewEncoder(p.Stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(p.Stdout, "Cluster %s at metadata position %d: %s with %s in %s, %s.\n", r.Cluster, r.Position,
			count(r.Streams, "stream"), count(r.Ranges, "range"), count(r.Objects, "object"), size(float64(r.Bytes)))
		if r.Deep {
			fmt.Fprintf(p.Stdout, "Read %s, %s, %s.\n", count(int(r.Blocks), "block"), fmt.Sprintf("%d record batches", r.Batches), count(int(r.Records), "record"))
		}
		if r.Skipped > 0 {
			fmt.Fprintf(p.Stdout, "%s found in order by the run before and not read again.\n", count(r.Skipped, "object"))
		}
		verdict := "All is well"
		if !r.Well() {
			verdict = "NOT all is well"
		}
		fmt.Fprintf(p.Stdout, "%s: %s, %s, %s, after %.1f s.\n", verdict, count(r.Errors, "error"), count(r.Warnings, "warning"), count(r.Notes, "note"), float64(r.TookMillis)/1000)
	}
	if !r.Well() {
		return &codeError{code: exitFailed}
	}
	return nil
}

// bar shows how far a verification is: one line that changes on a terminal, a line now and then elsewhere.
type bar struct {
	w        io.Writer
	terminal bool
	width    int // of the line that is shown
	began    time.Time
	shown    time.Time
	phase    string
	deep     bool // bytes are read, not only looked at
}

func newBar(w io.Writer, deep bool) *bar {
	b := &bar{w: w, deep: deep, began: time.Now(), shown: time.Now()}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		b.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return b
}

func (b *bar) show(p audit.Progress) {
	every := progressEvery
	if b.terminal {
		every = barEvery
	}
	now := time.Now()
	if p.Phase == "objects" && b.phase != p.Phase {
		b.began = now
	}
	if now.Sub(b.shown) < every && (p.Phase == b.phase || !b.terminal) {
		b.phase = p.Phase
		return
	}
	b.shown, b.phase = now, p.Phase
	line := barLine(p, now.Sub(b.began), b.deep)
	if !b.terminal {
		fmt.Fprintln(b.w, line)
		return
	}
	fmt.Fprintf(b.w, "\r%-*s", b.width, line)
	b.width = len(line)
}

// clear takes the line away, so that something else can be printed.
func (b *bar) clear() {
	if b.width > 0 {
		fmt.Fprintf(b.w, "\r%s\r", strings.Repeat(" ", b.width))
		b.width = 0
	}
}

const barCells = 24

func barLine(p audit.Progress, took time.Duration, deep bool) string {
	if p.Phase != "objects" || p.ObjectsTotal == 0 {
		return p.Phase + " …"
	}
	part := float64(p.Objects) / float64(p.ObjectsTotal)
	if p.BytesTotal > 0 {
		part = float64(p.Bytes) / float64(p.BytesTotal)
	}
	full := int(part * barCells)
	line := fmt.Sprintf("[%s%s] %3.0f%% %d of %d objects", strings.Repeat("#", full), strings.Repeat("-", barCells-full), 100*part, p.Objects, p.ObjectsTotal)
	if s := took.Seconds(); s > 1 && part > 0 {
		if deep {
			line += fmt.Sprintf(", %s/s", size(float64(p.Bytes)/s))
		}
		line += fmt.Sprintf(", %s left", time.Duration(float64(took)*(1-part)/part).Round(time.Second))
	}
	if p.Candidates > 0 {
		line += fmt.Sprintf(", %d to be looked at again", p.Candidates)
	}
	return line
}
