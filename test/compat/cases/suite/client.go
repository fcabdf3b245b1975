package suite

import (
	"context"
	"errors"
	"time"
)

// ErrLacks is returned for what a client cannot do.
var ErrLacks = errors.New("the client lacks it")

// ErrTextOnly is an error of the broker of which the client tells the text and not the code.
var ErrTextOnly = errors.New("the client tells no code")

// Positions beside offsets.
const (
	Earliest     = -2
	Latest       = -1
	MaxTimestamp = -3
)

// AnyPartition lets the partitioner choose.
const AnyPartition = -1

// Header is one header of a record. A nil value is a null one.
type Header struct {
	Key   string
	Value []byte
}

// Record is one record. A nil key or value is a null one; the zero time is now.
type Record struct {
	Topic      string
	Partition  int32
	Offset     int64
	Key, Value []byte
	Headers    []Header
	Time       time.Time
}

// Produce says how to produce. Acks are 0, 1 or -1; Codec is "" or a name; Partitioner is "", murmur2 or round-robin; MaxBytes bounds a message, 0 is the
// client's default.
type Produce struct {
	Acks        int
	Codec       string
	Idempotent  bool
	Partitioner string
	MaxBytes    int
}

// Fetch says how to consume. No is a field that is zero.
type Fetch struct {
	Committed bool // isolation level
	MaxBytes  int  // of a partition in an answer, 0 is the client's default
}

// Reader consumes partitions without a group.
type Reader interface {
	// Poll returns what there is, after a moment nothing.
	Poll(ctx context.Context) ([]Record, error)
	Pause(topic string, partition int32) error
	Resume(topic string, partition int32) error
	Seek(topic string, partition int32, offset int64) error
	Close()
}

// Group says how to join a group. Balancer is range, roundrobin, sticky or cooperative; with the consumer protocol it is the server's: "", uniform, range.
type Group struct {
	Name       string
	Topics     []string
	Regex      bool // Topics holds one expression
	Balancer   string
	KIP848     bool
	Instance   string
	AutoCommit bool
	Committed  bool
}

// Member is in a group.
type Member interface {
	// Poll returns what there is, after a moment nothing.
	Poll(ctx context.Context) ([]Record, error)
	// Assigned counts the partitions that it has now.
	Assigned() int
	// Commit commits what was polled.
	Commit(ctx context.Context) error
	// Leave leaves the group, or as a static member only closes.
	Leave() error
}

// Txn is a transactional producer.
type Txn interface {
	Begin() error
	Produce(ctx context.Context, rs ...Record) error
	// Offsets adds the offset to consume next, as a member or, with nil, for the name of a group alone.
	Offsets(ctx context.Context, group string, m Member, topic string, partition int32, offset int64) error
	Commit(ctx context.Context) error
	Abort(ctx context.Context) error
	Close()
}

// Partition describes a partition.
type Partition struct {
	ID, Leader    int32
	Replicas, ISR []int32
}

// Cluster describes the cluster.
type Cluster struct {
	ID         string
	Controller int32
	Brokers    []int32
}

// ConfigValue is a configuration's value. Source is Kafka's number, -1 where the client does not tell.
type ConfigValue struct {
	Value     string
	Source    int
	ReadOnly  bool
	Sensitive bool
}

// Kinds of resources that have configurations, with Kafka's numbers.
const (
	TopicConfig  = 2
	BrokerConfig = 4
	GroupConfig  = 32
)

// Operations of incremental changes, with Kafka's numbers.
const (
	OpSet = iota
	OpDelete
	OpAppend
	OpSubtract
)

// ConfigOp is one incremental change.
type ConfigOp struct {
	Op          int
	Name, Value string
}

// Committed is a committed offset.
type Committed struct {
	Offset   int64
	Metadata string
}

// GroupInfo describes a group.
type GroupInfo struct {
	State        string // as Kafka spells it
	ProtocolType string
	Protocol     string
	Members      int
	Instances    []string
}

// Topic says how to create a topic. Zero partitions or replicas are the broker's default.
type Topic struct {
	Name         string
	Partitions   int32
	Replicas     int16
	Assignment   map[int32][]int32
	Configs      map[string]string
	ValidateOnly bool
}

// ProducerState is what a partition knows of a producer.
type ProducerState struct {
	ID           int64
	Epoch        int32
	LastSequence int32
	TxnStart     int64 // -1: no transaction
}

// Secure says how to connect: by TLS if CA is named, with a certificate if Cert is, logged in if there is a Mechanism, whose Password may be a token.
type Secure struct {
	Addr                      string
	CA, Cert                  string // PEM files
	Mechanism, User, Password string
}

// Client is the adapter of a client. Embed Lacks and add what the client has. Errors of the broker must be known to Code.
type Client interface {
	Open(bootstrap string) error
	Code(err error) (int, bool)

	// Login connects, writes a value to partition 0 of a topic, and returns the last value that it has.
	Login(ctx context.Context, s Secure, topic, value string) (last string, err error)

	Produce(ctx context.Context, p Produce, rs ...Record) ([]Record, error)
	// Consume returns the first n records from an offset on, or from Earliest or Latest.
	Consume(ctx context.Context, f Fetch, topic string, partition int32, at int64, n int) ([]Record, error)
	Read(ctx context.Context, f Fetch, topic string, at map[int32]int64) (Reader, error)
	Join(ctx context.Context, g Group) (Member, error)
	Transact(ctx context.Context, id string, timeout time.Duration) (Txn, error)

	CreateTopic(ctx context.Context, topic Topic) error
	DeleteTopic(ctx context.Context, name string) error
	ListTopics(ctx context.Context) ([]string, error)
	Partitions(ctx context.Context, topic string) ([]Partition, error)
	TopicID(ctx context.Context, topic string) (string, error)
	SetPartitions(ctx context.Context, topic string, count int) error
	Cluster(ctx context.Context) (Cluster, error)

	DescribeConfigs(ctx context.Context, kind int, name string) (map[string]ConfigValue, error)
	AlterConfigs(ctx context.Context, kind int, name string, configs map[string]string) error
	IncrementalAlterConfigs(ctx context.Context, kind int, name string, ops ...ConfigOp) error

	// ListOffset takes a time in milliseconds, or Earliest, Latest, MaxTimestamp. Offset -1 is none.
	ListOffset(ctx context.Context, topic string, partition int32, at int64, committed bool) (offset int64, err error)
	DeleteRecords(ctx context.Context, topic string, partition int32, before int64) (start int64, err error)
	CommitOffsets(ctx context.Context, group, topic string, offsets map[int32]Committed) error
	// FetchOffsets leaves out partitions without an offset.
	FetchOffsets(ctx context.Context, group, topic string, partitions ...int32) (map[int32]Committed, error)
	DeleteOffsets(ctx context.Context, group, topic string, partition int32) error

	// ListGroups returns the names of groups and what is listed with them: type of protocol or state, whatever the client tells.
	ListGroups(ctx context.Context) (map[string]string, error)
	DescribeGroup(ctx context.Context, group string) (GroupInfo, error)
	DeleteGroup(ctx context.Context, group string) error
	RemoveMember(ctx context.Context, group, instance string) error

	DescribeACLs(ctx context.Context) error
	CreateACL(ctx context.Context) error
	DeleteACLs(ctx context.Context) error
	// AlterQuota sets a quota of a user, or removes it.
	AlterQuota(ctx context.Context, user, key string, value float64, remove bool) error
	DescribeQuotas(ctx context.Context, user string) (map[string]float64, error)
	AlterScram(ctx context.Context, user, password string, remove bool) error
	DescribeScram(ctx context.Context, user string) (iterations int, err error)
	// LogDirs counts the directories of all brokers and returns the size of a topic.
	LogDirs(ctx context.Context, topic string) (dirs int, size int64, err error)
	Reassign(ctx context.Context, topic string, partition int32, replicas []int32) error
	// Reassigning counts the reassignments under way.
	Reassigning(ctx context.Context, topic string) (int, error)
	ElectLeader(ctx context.Context, topic string, partition int32) error
	Producers(ctx context.Context, topic string, partition int32) ([]ProducerState, error)
	// DescribeTxn returns a transaction's state, as Kafka spells it.
	DescribeTxn(ctx context.Context, id string) (state string, err error)
	// ListTxns returns the states of all transactional ids.
	ListTxns(ctx context.Context) (map[string]string, error)
	// Features returns the finalized features.
	Features(ctx context.Context) (map[string]int, error)
}
