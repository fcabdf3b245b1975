package topicconfig

// Config is the parsed form of one topic's configuration: the values that have an effect. Times are in milliseconds, sizes in
// bytes; -1 means without limit where Kafka means so.
type Config struct {
	MaxMessageBytes        int32
	CompressionType        string // "producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"
	GzipLevel              int32
	LZ4Level               int32
	ZstdLevel              int32
	LogAppendTime          bool // message.timestamp.type
	TimestampBeforeMaxMS   int64
	TimestampAfterMaxMS    int64
	Delete                 bool // cleanup.policy has "delete"
	Compact                bool // cleanup.policy has "compact"
	RetentionMS            int64
	RetentionBytes         int64
	SegmentBytes           int32
	SegmentMS              int64
	MinInsyncReplicas      int32
	DeleteRetentionMS      int64
	MinCompactionLagMS     int64
	MaxCompactionLagMS     int64
	MinCleanableDirtyRatio float64
}

// Default is the configuration of a topic that sets nothing on a broker that sets nothing.
func Default() Config {
	c, err := Parse(nil, nil)
	if err != nil {
		panic("BUG: topicconfig: defaults do not parse: " + err.Error())
	}
	return c
}
