package cli

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"sluice/base"
)

type topicCmd struct {
	Create   topicCreateCmd   `cmd:"" help:"Create topics."`
	List     topicListCmd     `cmd:"" help:"List topics."`
	Describe topicDescribeCmd `cmd:"" help:"Show partitions, offsets and settings of topics."`
	Delete   topicDeleteCmd   `cmd:"" help:"Delete topics and their records."`
}

type topicCreateCmd struct {
	brokerFlags
	Names             []string `arg:"" name:"name" help:"Topics to create."`
	Partitions        int32    `short:"p" default:"-1" placeholder:"N" help:"Partitions of each topic (default: the broker's num.partitions)."`
	ReplicationFactor int16    `default:"-1" placeholder:"N" help:"Replicas, for brokers that have any (default: the broker's)."`
	Config            []string `short:"c" sep:"none" placeholder:"NAME=VALUE" help:"Topic setting, such as retention.ms=3600000; repeatable."`
	IfNotExists       bool     `help:"A topic that exists already is fine."`
}

func (c *topicCreateCmd) Run(ctx context.Context, p *Process) error {
	configs, err := keyValues("config", c.Config)
	if err != nil {
		return err
	}
	if c.Partitions == 0 || c.Partitions < -1 {
		return base.Errorf(base.Invalid, "--partitions %d: want a number from 1", c.Partitions)
	}
	return c.admin(ctx, func(ctx context.Context, adm *kadm.Client) error {
		res, err := adm.CreateTopics(ctx, c.Partitions, c.ReplicationFactor, configs, c.Names...)
		if err != nil {
			return err
		}
		for _, t := range res.Sorted() {
			switch {
			case t.Err == nil:
				fmt.Fprintf(p.Stdout, "Created topic %s with %s.\n", t.Topic, count(int(t.NumPartitions), "partition"))
			case errors.Is(t.Err, kerr.TopicAlreadyExists) && c.IfNotExists:
				fmt.Fprintf(p.Stdout, "Topic %s exists already.\n", t.Topic)
			default:
				err = errors.Join(err, topicError("create", t.Topic, t.Err, t.ErrMessage))
			}
		}
		return err
	})
}

// topicError says what went wrong with one topic. What the input is to blame for has kind Invalid.
func topicError(verb, topic string, err error, message string) error {
	kind := base.Unavailable
	switch {
	case errors.Is(err, kerr.InvalidTopicException), errors.Is(err, kerr.InvalidConfig), errors.Is(err, kerr.InvalidPartitions), errors.Is(err, kerr.InvalidReplicationFactor):
		kind = base.Invalid
	}
	text := err.Error()
	if message != "" && !strings.Contains(text, message) {
		text += " (" + message + ")"
	}
	return base.Errorf(kind, "cannot %s topic %s: %s", verb, topic, text)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

type topicListCmd struct {
	brokerFlags
	Internal bool `help:"Also internal topics."`
}

func (c *topicListCmd) Run(ctx context.Context, p *Process) error {
	return c.admin(ctx, func(ctx context.Context, adm *kadm.Client) error {
		topics, err := adm.ListTopicsWithInternal(ctx)
		if err != nil {
			return err
		}
		return table(p.Stdout, "NAME PARTITIONS ID", func(row func(...any)) {
			for _, t := range topics.Sorted() {
				if c.Internal || !t.IsInternal {
					row(t.Topic, len(t.Partitions), base.UUID(t.ID))
				}
			}
		})
	})
}

type topicDescribeCmd struct {
	brokerFlags
	Names []string `arg:"" name:"name" help:"Topics to describe."`
}

func (c *topicDescribeCmd) Run(ctx context.Context, p *Process) error {
	return c.admin(ctx, func(ctx context.Context, adm *kadm.Client) error {
		topics, err := adm.ListTopicsWithInternal(ctx, c.Names...)
		if err != nil {
			return err
		}
		starts, err := adm.ListStartOffsets(ctx, c.Names...)
		if err != nil && !partial(err) {
			return err
		}
		ends, err := adm.ListEndOffsets(ctx, c.Names...)
		if err != nil && !partial(err) {
			return err
		}
		var failed error
		for i, t := range topics.Sorted() {
			if t.Err != nil {
				failed = errors.Join(failed, topicError("describe", t.Topic, t.Err, ""))
				continue
			}
			fmt.Fprintf(p.Stdout, "%sTopic %s, id %s, %s\n", strings.Repeat("\n", min(i, 1)), t.Topic, base.UUID(t.ID), count(len(t.Partitions), "partition"))
			if err := c.settings(ctx, p, adm, t.Topic); err != nil {
				return err
			}
			if err := c.partitions(p, t, starts, ends); err != nil {
				return err
			}
		}
		return failed
	})
}

// partial reports whether err says that only some brokers answered; what they said is still worth showing.
func partial(err error) bool {
	var se *kadm.ShardErrors
	return errors.As(err, &se) && !se.AllFailed
}

// settings prints what was set for the topic itself.
func (c *topicDescribeCmd) settings(ctx context.Context, p *Process, adm *kadm.Client, topic string) error {
	res, err := adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return err
	}
	for _, r := range res {
		sort.Slice(r.Configs, func(i, j int) bool { return r.Configs[i].Key < r.Configs[j].Key })
		for _, kv := range r.Configs {
			if kv.Source.String() == "DYNAMIC_TOPIC_CONFIG" {
				fmt.Fprintf(p.Stdout, "  %s = %s\n", kv.Key, kv.MaybeValue())
			}
		}
	}
	return nil
}

func (c *topicDescribeCmd) partitions(p *Process, t kadm.TopicDetail, starts, ends kadm.ListedOffsets) error {
	return table(p.Stdout, "PARTITION LEADER EPOCH START END RECORDS", func(row func(...any)) {
		for _, d := range t.Partitions.Sorted() {
			start, okStart := starts.Lookup(t.Topic, d.Partition)
			end, okEnd := ends.Lookup(t.Topic, d.Partition)
			if !okStart || !okEnd || start.Err != nil || end.Err != nil {
				row(d.Partition, d.Leader, d.LeaderEpoch, "?", "?", "?")
				continue
			}
			row(d.Partition, d.Leader, d.LeaderEpoch, start.Offset, end.Offset, end.Offset-start.Offset)
		}
	})
}

type topicDeleteCmd struct {
	brokerFlags
	Names []string `arg:"" name:"name" help:"Topics to delete."`
}

func (c *topicDeleteCmd) Run(ctx context.Context, p *Process) error {
	return c.admin(ctx, func(ctx context.Context, adm *kadm.Client) error {
		res, err := adm.DeleteTopics(ctx, c.Names...)
		if err != nil {
			return err
		}
		for _, t := range res.Sorted() {
			if t.Err != nil {
				err = errors.Join(err, topicError("delete", t.Topic, t.Err, t.ErrMessage))
				continue
			}
			fmt.Fprintf(p.Stdout, "Deleted topic %s.\n", t.Topic)
		}
		return err
	})
}
