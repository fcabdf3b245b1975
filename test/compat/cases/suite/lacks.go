package suite

import (
	"context"
	"time"
)

// Lacks is a client that can do nothing. Adapters embed it.
type Lacks struct{}

func (Lacks) Login(context.Context, Secure, string, string) (string, error) { return "", ErrLacks }
func (Lacks) Produce(context.Context, Produce, ...Record) ([]Record, error) { return nil, ErrLacks }
func (Lacks) Consume(context.Context, Fetch, string, int32, int64, int) ([]Record, error) {
	return nil, ErrLacks
}
func (Lacks) Read(context.Context, Fetch, string, map[int32]int64) (Reader, error) {
	return nil, ErrLacks
}
func (Lacks) Join(context.Context, Group) (Member, error)                  { return nil, ErrLacks }
func (Lacks) Transact(context.Context, string, time.Duration) (Txn, error) { return nil, ErrLacks }
func (Lacks) CreateTopic(context.Context, Topic) error                     { return ErrLacks }
func (Lacks) DeleteTopic(context.Context, string) error                    { return ErrLacks }
func (Lacks) ListTopics(context.Context) ([]string, error)                 { return nil, ErrLacks }
func (Lacks) Partitions(context.Context, string) ([]Partition, error)      { return nil, ErrLacks }
func (Lacks) TopicID(context.Context, string) (string, error)              { return "", ErrLacks }
func (Lacks) SetPartitions(context.Context, string, int) error             { return ErrLacks }
func (Lacks) Cluster(context.Context) (Cluster, error)                     { return Cluster{}, ErrLacks }
func (Lacks) DescribeConfigs(context.Context, int, string) (map[string]ConfigValue, error) {
	return nil, ErrLacks
}
func (Lacks) AlterConfigs(context.Context, int, string, map[string]string) error { return ErrLacks }
func (Lacks) IncrementalAlterConfigs(context.Context, int, string, ...ConfigOp) error {
	return ErrLacks
}
func (Lacks) ListOffset(context.Context, string, int32, int64, bool) (int64, error) {
	return 0, ErrLacks
}
func (Lacks) DeleteRecords(context.Context, string, int32, int64) (int64, error) { return 0, ErrLacks }
func (Lacks) CommitOffsets(context.Context, string, string, map[int32]Committed) error {
	return ErrLacks
}
func (Lacks) FetchOffsets(context.Context, string, string, ...int32) (map[int32]Committed, error) {
	return nil, ErrLacks
}
func (Lacks) DeleteOffsets(context.Context, string, string, int32) error      { return ErrLacks }
func (Lacks) ListGroups(context.Context) (map[string]string, error)           { return nil, ErrLacks }
func (Lacks) DescribeGroup(context.Context, string) (GroupInfo, error)        { return GroupInfo{}, ErrLacks }
func (Lacks) DeleteGroup(context.Context, string) error                       { return ErrLacks }
func (Lacks) RemoveMember(context.Context, string, string) error              { return ErrLacks }
func (Lacks) DescribeACLs(context.Context) error                              { return ErrLacks }
func (Lacks) CreateACL(context.Context) error                                 { return ErrLacks }
func (Lacks) DeleteACLs(context.Context) error                                { return ErrLacks }
func (Lacks) AlterQuota(context.Context, string, string, float64, bool) error { return ErrLacks }
func (Lacks) DescribeQuotas(context.Context, string) (map[string]float64, error) {
	return nil, ErrLacks
}
func (Lacks) AlterScram(context.Context, string, string, bool) error            { return ErrLacks }
func (Lacks) DescribeScram(context.Context, string) (int, error)                { return 0, ErrLacks }
func (Lacks) LogDirs(context.Context, string) (int, int64, error)               { return 0, 0, ErrLacks }
func (Lacks) Reassign(context.Context, string, int32, []int32) error            { return ErrLacks }
func (Lacks) Reassigning(context.Context, string) (int, error)                  { return 0, ErrLacks }
func (Lacks) ElectLeader(context.Context, string, int32) error                  { return ErrLacks }
func (Lacks) Producers(context.Context, string, int32) ([]ProducerState, error) { return nil, ErrLacks }
func (Lacks) DescribeTxn(context.Context, string) (string, error)               { return "", ErrLacks }
func (Lacks) ListTxns(context.Context) (map[string]string, error)               { return nil, ErrLacks }
func (Lacks) Features(context.Context) (map[string]int, error)                  { return nil, ErrLacks }
