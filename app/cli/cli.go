package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"sluice/base"
)

// Exit codes, see the package documentation.
const (
	exitOK          = 0
	exitFailed      = 1
	exitWrongInput  = 2
	exitFenced      = 3
	exitInterrupted = 130
)

// Process is what a command sees of the world outside.
type Process struct {
	Name    string   // that the program was called by, so that what is shown to be tried can be pasted; empty: sluice
	Args    []string // without the name
	Environ []string // KEY=value
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Signals <-chan os.Signal // interrupts; nil means that Main listens to SIGINT and SIGTERM
}

// Getenv returns the value of an environment variable, of which the last one counts; empty if there is none.
func (p *Process) Getenv(name string) (value string) {
	for _, kv := range p.Environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v
		}
	}
	return value
}

// commands is the whole command line.
type commands struct {
	Start      startCmd      `cmd:"" help:"Start a broker."`
	Topic      topicCmd      `cmd:"" help:"Create, list, describe and delete topics."`
	Produce    produceCmd    `cmd:"" help:"Write lines of standard input to a topic."`
	Consume    consumeCmd    `cmd:"" help:"Print the records of a topic."`
	Group      groupCmd      `cmd:"" help:"List and describe consumer groups."`
	Cluster    clusterCmd    `cmd:"" help:"Describe the cluster; drain nodes."`
	WAL        walCmd        `cmd:"" name:"wal" help:"List, add and drain the WALs of a broker."`
	Partition  partitionCmd  `cmd:"" help:"List and move partitions."`
	Controller controllerCmd `cmd:"" help:"Make another node the controller."`
	Cost       costCmd       `cmd:"" help:"Show what the cluster asks its bucket for, and what that costs."`
	Verify     verifyCmd     `cmd:"" help:"Compare the metadata with what is stored in the bucket."`
	Inspect    inspectCmd    `cmd:"" help:"Show an object, a log, a slot, a snapshot, or where an offset lies."`
	Bench      benchCmd      `cmd:"" help:"Load a broker and measure throughput and latency."`
	Config     configCmd     `cmd:"" help:"Print every setting of the broker: value, default, unit, documentation."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

// exit carries an exit code out of kong, which wants to leave the process when it has printed help.
type exit int

// Main runs one command and returns its exit code.
func Main(p Process) (code int) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exit:
			code = int(r)
		default:
			panic(r)
		}
	}()
	cmds := commands{Start: startCmd{newSettingFlags()}, Config: configCmd{newSettingFlags()}}
	parser, err := kong.New(&cmds,
		kong.Name("sluice"),
		kong.Description("A Kafka broker whose disk is a bucket.\n\nsluice start runs one; verify and inspect look into a bucket without one; cluster, partition and controller speak to the admin listener of any broker of a cluster, the others to any Kafka broker."),
		kong.Writers(p.Stdout, p.Stderr),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.Help(helpPrinter),
		kong.Bind(&p),
	)
	if err != nil {
		panic("BUG: cli: " + err.Error())
	}
	if len(p.Args) == 0 {
		p.Args = []string{"--help"}
	}
	kctx, err := parser.Parse(p.Args)
	if err != nil {
		fmt.Fprintf(p.Stderr, "sluice: %s\n", parseErrorText(err))
		return exitWrongInput
	}
	ctx, cancel := p.context(kctx.Command() == "start")
	defer cancel()
	kctx.BindTo(ctx, (*context.Context)(nil))
	return p.report(ctx, kctx.Run())
}

// context ends at an interrupt. The start command looks at signals itself.
func (p *Process) context(own bool) (context.Context, context.CancelFunc) {
	if own {
		return context.WithCancel(context.Background())
	}
	if p.Signals == nil {
		return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-p.Signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// report prints err, once, and returns the exit code for it.
func (p *Process) report(ctx context.Context, err error) int {
	if err == nil {
		return exitOK
	}
	if e := new(codeError); errors.As(err, &e) {
		if e.err != nil {
			fmt.Fprintf(p.Stderr, "sluice: %v\n", e.err)
		}
		return e.code
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	fmt.Fprintf(p.Stderr, "sluice: %v\n", err)
	switch base.KindOf(err) {
	case base.Invalid:
		return exitWrongInput
	case base.Fenced:
		return exitFenced
	}
	return exitFailed
}

// codeError is an error with an exit code of its own.
type codeError struct {
	code int
	err  error // nil: said already
}

func (e *codeError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

// parseErrorText makes a sentence of what kong says about wrong arguments.
func parseErrorText(err error) string {
	text := err.Error()
	if e := new(kong.ParseError); errors.As(err, &e) && e.Context != nil {
		if path := e.Context.Command(); path != "" {
			return fmt.Sprintf("%s (see sluice %s --help)", text, commandWords(path))
		}
	}
	return text + " (see sluice --help)"
}

// commandWords is the command without its arguments: "topic create <name>" is "topic create".
func commandWords(path string) string {
	words, _, _ := strings.Cut(path, " <")
	return words
}

// helpPrinter prints the help of a command, and of the program a hint at how to begin.
func helpPrinter(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	if ctx.Selected() == nil {
		fmt.Fprint(ctx.Stdout, `
To begin:
  sluice start                              a broker on 127.0.0.1:9092, data in ./data
  sluice topic create hello --partitions 3
  echo hi | sluice produce hello
  sluice consume hello

Exit codes: 0 done, 1 failed, 2 wrong input, 3 fenced by another broker.
`)
	}
	return nil
}
