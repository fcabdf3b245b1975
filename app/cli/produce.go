package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/base"
)

type produceCmd struct {
	brokerFlags
	Topic        string        `arg:"" help:"Topic to write to."`
	KeySeparator string        `short:"k" placeholder:"TEXT" help:"What stands before it in a line is the key. Without it records have no key."`
	Partition    int32         `default:"-1" placeholder:"N" help:"Write to this partition (default: by key, or in turn)."`
	Acks         string        `default:"all" enum:"all,1,0" help:"Wait for: all (durable), 1 or 0 (nothing). Default: all."`
	Compression  string        `default:"none" enum:"none,gzip,snappy,lz4,zstd" help:"none, gzip, snappy, lz4 or zstd (default: none)."`
	Header       []string      `short:"H" sep:"none" placeholder:"NAME=VALUE" help:"Header of every record; repeatable."`
	Linger       time.Duration `default:"5ms" help:"Wait so long for more lines to send together (default: 5ms)."`
	Quiet        bool          `short:"q" help:"Print nothing at the end."`
}

func (c *produceCmd) Help() string {
	return "Every line of standard input becomes one record. Ends at the end of input, when all records are acknowledged."
}

const (
	lineBytesMax   = 100 << 20 // a longer line is an error
	bufferedMax    = 100_000   // records between standard input and acknowledgement
	bufferedByteMx = 256 << 20
)

func (c *produceCmd) Run(ctx context.Context, p *Process) error {
	opts, err := c.options()
	if err != nil {
		return err
	}
	headers, err := c.headers()
	if err != nil {
		return err
	}
	cl, err := c.client(ctx, opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var acked atomic.Int64
	lines := bufio.NewReaderSize(p.Stdin, 256<<10)
	for n := 1; ctx.Err() == nil; n++ {
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("line %d of the input: %w", n, err)
		}
		rec := &kgo.Record{Topic: c.Topic, Partition: c.Partition, Headers: headers}
		rec.Key, rec.Value = c.split(line)
		cl.Produce(ctx, rec, func(_ *kgo.Record, err error) {
			if err != nil {
				cancel(fmt.Errorf("line %d of the input was not written: %w", n, err))
				return
			}
			acked.Add(1)
		})
	}
	if err := cl.Flush(ctx); err != nil || ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !c.Quiet {
		fmt.Fprintf(p.Stderr, "%s written to %s\n", count(int(acked.Load()), "record"), c.Topic)
	}
	return nil
}

func (c *produceCmd) options() ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.AllowAutoTopicCreation(), kgo.ProducerLinger(c.Linger), kgo.MaxBufferedRecords(bufferedMax), kgo.MaxBufferedBytes(bufferedByteMx),
		kgo.RecordDeliveryTimeout(2 * c.Timeout), kgo.UnknownTopicRetries(4), kgo.ProducerBatchMaxBytes(1_000_000),
	}
	switch c.Acks {
	case "1":
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case "0":
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	}
	codec := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	opts = append(opts, kgo.ProducerBatchCompression(codec[c.Compression]))
	switch {
	case c.Partition < -1:
		return nil, base.Errorf(base.Invalid, "--partition %d: want a number from 0", c.Partition)
	case c.Partition >= 0:
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	return opts, nil
}

func (c *produceCmd) headers() ([]kgo.RecordHeader, error) {
	kv, err := keyValues("header", c.Header)
	if err != nil {
		return nil, err
	}
	var out []kgo.RecordHeader
	for k, v := range kv {
		out = append(out, kgo.RecordHeader{Key: k, Value: []byte(*v)})
	}
	return out, nil
}

// split takes the key off a line. A line without the separator is all value.
func (c *produceCmd) split(line []byte) (key, value []byte) {
	if c.KeySeparator == "" {
		return nil, line
	}
	if k, v, ok := bytes.Cut(line, []byte(c.KeySeparator)); ok {
		return k, v
	}
	return nil, line
}

// readLine returns the next line without its end, in memory of its own. The last line need not end.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
		case errors.Is(err, bufio.ErrBufferFull) && len(line) <= lineBytesMax:
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, base.Errorf(base.Invalid, "it is longer than %d MiB", lineBytesMax>>20)
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		default:
			return nil, err
		}
	}
}
