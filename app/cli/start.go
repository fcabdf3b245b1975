package cli

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"sluice/app/node"
	"sluice/base"
	"sluice/base/config"
)

type startCmd struct {
	settingFlags
}

func (c *startCmd) Help() string {
	return "Without any setting the broker listens on 127.0.0.1:9092 and keeps everything in the directory data. SIGINT and SIGTERM shut it down in order: requests are answered, what is left is uploaded; a second signal ends it at once, and nothing acknowledged is lost even then. A broker that the others have given up, because it hung or was cut off, joins again by itself. Exit codes: 0 shut down, 1 failed, 2 wrong setting, 130 second signal."
}

func (c *startCmd) Run(ctx context.Context, p *Process) error {
	cfg, err := c.resolve(p)
	if err != nil {
		return err
	}
	signals := p.Signals
	if signals == nil {
		ch := make(chan os.Signal, 2)
		signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
		defer signal.Stop(ch)
		signals = ch
	}
	mem := cfg.Divide(machineMemory())
	debug.SetMemoryLimit(int64(mem.Total))
	log, level := newLogger(p, cfg)
	starting, cancel := context.WithCancel(ctx)
	defer cancel()
	interrupted := make(chan struct{})
	go func() {
		select {
		case <-signals:
			close(interrupted)
			cancel()
		case <-ctx.Done():
		}
	}()
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "localhost"
	}
	opt := node.Options{Config: cfg, Memory: mem, Hostname: hostname, Getenv: p.Getenv, Logger: log, LogLevel: level, Version: Version()}
	for {
		err := c.once(starting, p, opt, interrupted, signals)
		if !base.IsKind(err, base.Fenced) || starting.Err() != nil {
			return err
		}
		log.Warn("the others have given this broker up; it joins again under a new epoch", "reason", err)
		select {
		case <-time.After(rejoinPause):
		case <-starting.Done():
		}
	}
}

// rejoinPause is the time between the end of a broker that was fenced and its next start.
const rejoinPause = 500 * time.Millisecond

// once runs the broker until it is stopped or cannot go on.
func (c *startCmd) once(starting context.Context, p *Process, opt node.Options, interrupted <-chan struct{}, signals <-chan os.Signal) error {
	began := time.Now()
	opt.Registry = prometheus.NewRegistry()
	opt.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	n, err := node.Start(starting, opt)
	if err != nil {
		if starting.Err() != nil {
			return &codeError{code: exitInterrupted}
		}
		return err
	}
	fmt.Fprint(p.Stdout, banner(n.Info(), opt.Config, time.Since(began), cmp.Or(p.Name, "sluice")))
	return c.serve(p, n, opt.Config, opt.Logger, interrupted, signals)
}

// serve waits until the broker is asked to stop, or cannot go on.
func (c *startCmd) serve(p *Process, n *node.Node, cfg *config.Config, log *slog.Logger, interrupted <-chan struct{}, signals <-chan os.Signal) error {
	var cause error
	select {
	case <-interrupted:
		fmt.Fprintf(p.Stdout, "\nShutting down: answering what is in flight and uploading what is left. Interrupt again to stop at once.\n")
	case <-n.Failed():
		cause = n.Err()
		log.Error("the broker cannot go on and shuts down", "error", cause, "kind", base.KindOf(cause).String())
	}
	ctx, cancel := context.WithTimeout(context.Background(), cfg.ShutdownTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- n.Shutdown(ctx) }()
	select {
	case err := <-done:
		if cause != nil {
			return cause
		}
		if err != nil {
			return fmt.Errorf("the shutdown is not complete; nothing is lost, the next start recovers: %w", err)
		}
		fmt.Fprintln(p.Stdout, "Stopped.")
		return nil
	case <-signals:
		return &codeError{exitInterrupted, fmt.Errorf("stopped at once; nothing acknowledged is lost, the next start recovers")}
	}
}

// newLogger returns the logger of a broker and its level, which can be changed.
func newLogger(p *Process, cfg *config.Config) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
		panic("BUG: cli: log level " + cfg.LogLevel)
	}
	opt := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(p.Stderr, opt)), level
	}
	return slog.New(slog.NewTextHandler(p.Stderr, opt)), level
}

// banner says in plain words where the data is and how to connect.
func banner(i node.Info, cfg *config.Config, took time.Duration, sluice string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Sluice %s is ready after %.2f s.\n\n", Version(), took.Seconds())
	line := func(what, text string) { fmt.Fprintf(&b, "  %-15s %s\n", what, text) }
	line("Kafka clients", "connect to "+i.Kafka+listenNote(i))
	if i.Admin != "" {
		line("Admin", "http://"+i.Admin+"/metrics, /healthz, /readyz")
	}
	line("Data", i.Bucket)
	line("WAL", i.WAL)
	line("Cluster", fmt.Sprintf("%s, this is node %v", i.Cluster, i.Node))
	line("Memory", cfg.Divide(machineMemory()).Total.String())
	server := ""
	if i.Kafka != "127.0.0.1:9092" {
		server = " -b " + i.Kafka
	}
	fmt.Fprintf(&b, "\nTry:\n  %[1]s topic create hello%[2]s\n  echo hi | %[1]s produce hello%[2]s\n  %[1]s consume hello%[2]s\n\nStop with Ctrl-C.\n", sluice, server)
	return b.String()
}

func listenNote(i node.Info) string {
	if i.Listen == i.Kafka {
		return ""
	}
	return " (listening on " + i.Listen + ")"
}
