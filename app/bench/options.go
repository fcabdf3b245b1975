package bench

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/base"
)

// Options describe one run. The zero value of a field means the default given in its comment where there is one.
type Options struct {
	Bootstrap []string  // HOST:PORT of any brokers of the cluster
	Secure    []kgo.Opt // how to connect and log in; none: in plain text

	Topic      string // name, or prefix of the names where Topics > 1
	Topics     int
	Partitions int  // of each topic
	Keep       bool // leave the topics behind

	Producers  int
	Consumers  int // one group; 0 measures producing alone
	RecordSize int // bytes of value, at least 16
	Rate       int // records per second over all producers; 0 = as fast as possible

	Warmup   time.Duration
	Duration time.Duration // of the measured part

	// CatchUp first produces CatchUpBytes and then measures consuming them from the start, as fast as possible.
	CatchUp      bool
	CatchUpBytes int64

	Client      string // "kgo" or "raw"
	Acks        string // "all", "1" or "0"
	Idempotent  bool
	Compression string // "none", "gzip", "snappy", "lz4" or "zstd"
	Linger      time.Duration
	BatchBytes  int // largest batch a producer makes

	// Pid is the broker's process on this machine, whose CPU time and memory are then reported; 0 = none.
	Pid int
	// Label names the run in the JSON.
	Label string
}

// connect returns how clients connect.
func (o *Options) connect() []kgo.Opt {
	return append(slices.Clone(o.Secure), kgo.SeedBrokers(o.Bootstrap...))
}

// Validate reports the first setting that cannot be, with what would be right. The error has kind Invalid.
func (o *Options) Validate() error {
	bad := func(flag string, got any, want string) error {
		return base.Errorf(base.Invalid, "--%s %v: want %s", flag, got, want)
	}
	switch {
	case len(o.Bootstrap) == 0:
		return bad("bootstrap-server", `""`, "HOST:PORT")
	case o.Client == "raw" && len(o.Secure) > 0:
		return bad("client", "raw", "kgo: the raw client speaks plain text without a login")
	case o.Topics < 1:
		return bad("topics", o.Topics, "1 or more")
	case o.Partitions < 1:
		return bad("partitions", o.Partitions, "1 or more")
	case o.Producers < 0 || o.Consumers < 0 || o.Producers+o.Consumers == 0:
		return bad("producers", o.Producers, "producers or consumers to run")
	case o.RecordSize < minRecord || o.RecordSize > 64<<20:
		return bad("record-size", o.RecordSize, "16 bytes to 64 MiB")
	case o.Rate < 0:
		return bad("rate", o.Rate, "records per second, or 0 for as fast as possible")
	case o.Duration <= 0:
		return bad("duration", o.Duration, "a time longer than 0s")
	case o.Warmup < 0:
		return bad("warmup", o.Warmup, "0s or longer")
	case o.BatchBytes < o.RecordSize:
		return bad("batch-bytes", o.BatchBytes, "at least the record size")
	case o.Client != "kgo" && o.Client != "raw":
		return bad("client", o.Client, "kgo or raw")
	case o.Client == "raw" && (o.Idempotent || o.Compression != "none"):
		return bad("client", o.Client, "kgo where --idempotent or --compression is given: raw sends prepared batches")
	case o.CatchUp && o.CatchUpBytes < 1<<20:
		return bad("catch-up-bytes", o.CatchUpBytes, "at least 1 MiB")
	case o.Acks != "all" && o.Acks != "1" && o.Acks != "0":
		return bad("acks", o.Acks, "all, 1 or 0")
	case o.Idempotent && o.Acks != "all":
		return bad("acks", o.Acks, "all where --idempotent is given")
	}
	if _, ok := codecs[o.Compression]; !ok {
		return bad("compression", o.Compression, "none, gzip, snappy, lz4 or zstd")
	}
	return nil
}

// minRecord is room for the intended send time and the record's number.
const minRecord = 16
