package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/base"
)

type consumeCmd struct {
	brokerFlags
	Topics    []string      `arg:"" name:"topic" help:"Topics to read."`
	From      string        `default:"start" placeholder:"WHERE" help:"Where to begin: start, end, an offset, or a time such as 2026-01-02T15:04:05Z (default: start). With --group only where the group has no committed offset."`
	Follow    bool          `short:"f" help:"Wait for more at the end, until interrupted."`
	Count     int64         `short:"n" placeholder:"N" help:"Stop after so many records."`
	Idle      time.Duration `placeholder:"DURATION" help:"Stop when no record has come for so long."`
	Group     string        `short:"g" placeholder:"NAME" help:"Read as a member of this consumer group, and commit what was printed."`
	Partition []int32       `short:"p" placeholder:"N" help:"Only these partitions."`
	Format    string        `short:"o" default:"%v\\n" placeholder:"TEXT" help:"How a record is printed: json, or text in which %t is the topic, %p the partition, %o the offset, %k the key, %v the value, %d the time in ms, %h{%k=%v } headers, \\n and \\t as usual (default: %v\\n)."`
	Committed bool          `help:"Only records of committed transactions."`
}

func (c *consumeCmd) Help() string {
	return "Prints what is in the topics now and ends. With --follow, --count or --group it waits for more: --follow until interrupted, --count until there were so many, --group until interrupted or --idle or --count says so."
}

func (c *consumeCmd) Run(ctx context.Context, p *Process) error {
	opts, err := c.options()
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(p.Stdout, 256<<10)
	write, err := c.writer(out)
	if err != nil {
		return err
	}
	probe, err := c.client(ctx)
	if err != nil {
		return err
	}
	ends, err := c.ends(ctx, kadm.NewClient(probe))
	probe.Close()
	if err != nil {
		return err
	}
	if len(c.Partition) > 0 {
		opts = append(opts, c.chosen())
	}
	cl, err := c.client(ctx, opts...)
	if err != nil {
		return err
	}
	defer cl.CloseAllowingRebalance()
	err = c.loop(ctx, cl, ends, write, out)
	return errors.Join(err, out.Flush())
}

func (c *consumeCmd) options() ([]kgo.Opt, error) {
	from, err := c.offset()
	if err != nil {
		return nil, err
	}
	opts := []kgo.Opt{kgo.ConsumeResetOffset(from), kgo.FetchMaxWait(500 * time.Millisecond)}
	if c.Committed {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	if c.Group != "" {
		if len(c.Partition) > 0 {
			return nil, base.Errorf(base.Invalid, "--partition and --group do not go together: a group shares out the partitions itself")
		}
		opts = append(opts, kgo.ConsumerGroup(c.Group), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll())
	}
	if len(c.Partition) == 0 {
		opts = append(opts, kgo.ConsumeTopics(c.Topics...))
	}
	return opts, nil
}

func (c *consumeCmd) offset() (kgo.Offset, error) {
	switch c.From {
	case "start":
		return kgo.NewOffset().AtStart(), nil
	case "end":
		return kgo.NewOffset().AtEnd(), nil
	}
	if n, err := strconv.ParseInt(c.From, 10, 64); err == nil && n >= 0 {
		return kgo.NewOffset().At(n), nil
	}
	if t, err := time.Parse(time.RFC3339, c.From); err == nil {
		return kgo.NewOffset().AfterMilli(t.UnixMilli()), nil
	}
	return kgo.Offset{}, base.Errorf(base.Invalid, "--from %s: want start, end, an offset, or a time such as 2026-01-02T15:04:05Z", c.From)
}

func (c *consumeCmd) chosen() kgo.Opt {
	from, _ := c.offset()
	m := map[string]map[int32]kgo.Offset{}
	for _, t := range c.Topics {
		m[t] = map[int32]kgo.Offset{}
		for _, p := range c.Partition {
			m[t][p] = from
		}
	}
	return kgo.ConsumePartitions(m)
}

// waits reports whether the command goes on at the end of the topics.
func (c *consumeCmd) waits() bool { return c.Follow || c.Count > 0 || c.Group != "" || c.Idle > 0 }

// unread are the partitions that have not been read to the end they had at the beginning.
type unread map[string]map[int32]int64

func (u unread) done(topic string, partition int32, next int64) {
	if end, ok := u[topic][partition]; ok && next >= end {
		delete(u[topic], partition)
		if len(u[topic]) == 0 {
			delete(u, topic)
		}
	}
}

// ends returns where the partitions end now, without those that have nothing to read; or that a topic does not exist.
func (c *consumeCmd) ends(ctx context.Context, adm *kadm.Client) (unread, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	starts, err := adm.ListStartOffsets(ctx, c.Topics...)
	if err != nil {
		return nil, err
	}
	ends, err := adm.ListEndOffsets(ctx, c.Topics...)
	if err != nil {
		return nil, err
	}
	u := unread{}
	var failed error
	ends.Each(func(o kadm.ListedOffset) {
		if o.Err != nil {
			failed = fmt.Errorf("cannot read topic %s: %w", o.Topic, o.Err)
			if errors.Is(o.Err, kerr.UnknownTopicOrPartition) {
				failed = base.Errorf(base.NotFound, "there is no topic %s; sluice topic list shows all", o.Topic)
			}
			return
		}
		start, _ := starts.Lookup(o.Topic, o.Partition)
		if from, _ := strconv.ParseInt(c.From, 10, 64); c.From == "end" || o.Offset <= max(start.Offset, from) || !c.wants(o.Partition) {
			return
		}
		if u[o.Topic] == nil {
			u[o.Topic] = map[int32]int64{}
		}
		u[o.Topic][o.Partition] = o.Offset
	})
	return u, failed
}

func (c *consumeCmd) wants(partition int32) bool {
	for _, p := range c.Partition {
		if p == partition {
			return true
		}
	}
	return len(c.Partition) == 0
}

// loop prints records until the command is to stop.
func (c *consumeCmd) loop(ctx context.Context, cl *kgo.Client, todo unread, write func(*kgo.Record) error, out *bufio.Writer) error {
	printed := int64(0)
	for c.waits() || len(todo) > 0 {
		poll, cancel := ctx, context.CancelFunc(func() {})
		switch {
		case c.Idle > 0:
			poll, cancel = context.WithTimeout(ctx, c.Idle)
		case !c.waits():
			// A compacted or transactional log may end in offsets that are no records: do not wait for them for ever.
			poll, cancel = context.WithTimeout(ctx, c.Timeout)
		}
		limit := 0
		if c.Count > 0 {
			limit = int(min(c.Count-printed, 1<<20))
		}
		fetches := cl.PollRecords(poll, limit)
		cancel()
		if ctx.Err() != nil {
			return nil // interrupted: this is how --follow ends
		}
		if err := fetchError(fetches); err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				return nil
			}
			return err
		}
		n, err := c.print(fetches, todo, write)
		if err == nil {
			err = out.Flush()
		}
		if err != nil {
			return fmt.Errorf("write records: %w", err)
		}
		if err := c.commit(ctx, cl); err != nil {
			return err
		}
		if printed += n; c.Count > 0 && printed >= c.Count {
			return nil
		}
	}
	return nil
}

// print writes the records of a poll; without waiting, only those that were there at the beginning.
func (c *consumeCmd) print(fetches kgo.Fetches, todo unread, write func(*kgo.Record) error) (n int64, err error) {
	fetches.EachPartition(func(ftp kgo.FetchTopicPartition) {
		end, limited := todo[ftp.Topic][ftp.Partition]
		for _, r := range ftp.Records {
			if err != nil || !c.waits() && (!limited || r.Offset >= end) {
				break
			}
			err = write(r)
			n++
		}
		if len(ftp.Records) > 0 {
			todo.done(ftp.Topic, ftp.Partition, ftp.Records[len(ftp.Records)-1].Offset+1)
		}
	})
	return n, err
}

// commit commits what was printed, so that a group never skips a record that was not.
func (c *consumeCmd) commit(ctx context.Context, cl *kgo.Client) error {
	if c.Group == "" {
		return nil
	}
	defer cl.AllowRebalance()
	if err := cl.CommitUncommittedOffsets(ctx); err != nil {
		return fmt.Errorf("commit offsets of group %s: %w", c.Group, err)
	}
	return nil
}

func fetchError(fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		if e.Topic == "" {
			return e.Err
		}
		return fmt.Errorf("read topic %s, partition %d: %w", e.Topic, e.Partition, e.Err)
	}
	return nil
}

// writer returns what prints one record.
func (c *consumeCmd) writer(out *bufio.Writer) (func(*kgo.Record) error, error) {
	if c.Format == "json" {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		return func(r *kgo.Record) error { return enc.Encode(jsonRecord(r)) }, nil
	}
	f, err := kgo.NewRecordFormatter(c.Format)
	if err != nil {
		return nil, base.Errorf(base.Invalid, "--format %q: %w", c.Format, err)
	}
	var buf []byte
	return func(r *kgo.Record) error {
		buf = f.AppendRecord(buf[:0], r)
		_, err := out.Write(buf)
		return err
	}, nil
}

func jsonRecord(r *kgo.Record) any {
	type header struct {
		Name  string `json:"name"`
		Value any    `json:"value"`
	}
	headers := make([]header, 0, len(r.Headers))
	for _, h := range r.Headers {
		headers = append(headers, header{h.Key, jsonBytes(h.Value)})
	}
	return struct {
		Topic     string   `json:"topic"`
		Partition int32    `json:"partition"`
		Offset    int64    `json:"offset"`
		Timestamp int64    `json:"timestamp"`
		Key       any      `json:"key"`
		Value     any      `json:"value"`
		Headers   []header `json:"headers"`
	}{r.Topic, r.Partition, r.Offset, r.Timestamp.UnixMilli(), jsonBytes(r.Key), jsonBytes(r.Value), headers}
}

// jsonBytes is text where the bytes are text, and an object with base64 where they are not.
func jsonBytes(b []byte) any {
	switch {
	case b == nil:
		return nil
	case utf8.Valid(b):
		return string(b)
	}
	return map[string][]byte{"base64": b}
}
