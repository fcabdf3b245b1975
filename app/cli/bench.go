package cli

import (
	"context"
	"fmt"
	"time"

	"sluice/app/bench"
	"sluice/base/config"
)

type benchCmd struct {
	BootstrapServer []string `name:"bootstrap-server" short:"b" aliases:"bootstrap-servers,brokers" env:"SLUICE_BOOTSTRAP_SERVER" default:"127.0.0.1:9092" placeholder:"HOST:PORT" help:"Broker to load (default: 127.0.0.1:9092)."`

	CommandConfig string `name:"command-config" type:"path" env:"SLUICE_COMMAND_CONFIG" placeholder:"FILE" help:"Kafka client properties for TLS and login, as for sluice topic; for --client kgo."`

	Topic      string `default:"sluice-bench" help:"Topic, or prefix of the names with --topics (default: sluice-bench)."`
	Topics     int    `default:"1" placeholder:"N" help:"Topics (default: 1)."`
	Partitions int    `short:"p" default:"16" placeholder:"N" help:"Partitions of each topic (default: 16)."`
	Keep       bool   `help:"Leave the topics behind."`

	Producers  int     `default:"1" placeholder:"N" help:"Producers (default: 1)."`
	Consumers  int     `default:"1" placeholder:"N" help:"Consumers, which share the partitions; 0 measures producing alone (default: 1)."`
	RecordSize sizeArg `default:"1KiB" placeholder:"SIZE" help:"Value of each record (default: 1KiB)."`
	Rate       int     `default:"0" placeholder:"N" help:"Records per second over all producers; 0 is as fast as possible (default)."`

	Warmup   time.Duration `default:"5s" help:"Load that is not counted, first (default: 5s)."`
	Duration time.Duration `default:"30s" help:"Measured time (default: 30s)."`

	CatchUp      bool    `help:"First produce --catch-up-bytes, then measure reading them from the start."`
	CatchUpBytes sizeArg `default:"1GiB" placeholder:"SIZE" help:"What there is to catch up with (default: 1GiB)."`

	Client      string        `default:"kgo" help:"kgo: franz-go as applications use it; raw: prepared batches that cost the client next to nothing (default: kgo)."`
	Acks        string        `default:"all" help:"all, 1 or 0 (default: all)."`
	Idempotent  bool          `help:"Produce idempotently."`
	Compression string        `default:"none" help:"none, gzip, snappy, lz4 or zstd (default: none)."`
	Linger      time.Duration `default:"0s" help:"How long a producer waits for a batch to fill (default: 0s)."`
	BatchBytes  sizeArg       `default:"256KiB" placeholder:"SIZE" help:"Largest batch (default: 256KiB)."`

	Pid   int    `placeholder:"PID" help:"Process of the broker on this machine, whose CPU time and memory are reported."`
	Label string `help:"Name of the run in the JSON."`
	JSON  bool   `name:"json" help:"Print the result as JSON on standard output; progress goes to standard error."`
}

func (c *benchCmd) Run(ctx context.Context, p *Process) error {
	opt := bench.Options{
		Bootstrap: c.BootstrapServer, Topic: c.Topic, Topics: c.Topics, Partitions: c.Partitions, Keep: c.Keep,
		Producers: c.Producers, Consumers: c.Consumers, RecordSize: int(c.RecordSize), Rate: c.Rate, Warmup: c.Warmup, Duration: c.Duration,
		CatchUp: c.CatchUp, CatchUpBytes: int64(c.CatchUpBytes), Client: c.Client, Acks: c.Acks, Idempotent: c.Idempotent,
		Compression: c.Compression, Linger: c.Linger, BatchBytes: int(c.BatchBytes), Pid: c.Pid, Label: c.Label,
	}
	conf, err := readCommandConfig(c.CommandConfig)
	if err != nil {
		return err
	}
	if opt.Secure, err = conf.options(); err != nil {
		return err
	}
	if err := opt.Validate(); err != nil {
		return err
	}
	progress := p.Stdout
	if c.JSON {
		progress = p.Stderr
	}
	res, err := bench.Run(ctx, opt, progress)
	if err != nil {
		return err
	}
	if c.JSON {
		return res.WriteJSON(p.Stdout)
	}
	fmt.Fprintln(p.Stdout)
	return res.WriteTable(p.Stdout)
}

// sizeArg is a number of bytes with an optional unit, as settings have it.
type sizeArg int64

// UnmarshalText parses a size such as 64KiB.
func (s *sizeArg) UnmarshalText(b []byte) error {
	n, err := config.ParseBytes(string(b))
	*s = sizeArg(n)
	return err
}
