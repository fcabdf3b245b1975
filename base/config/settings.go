package config

import (
	"slices"
	"strings"
	"time"

	"sluice/base"
)

// Setting is the declaration of one setting.
type Setting struct {
	Name    string // unique in every notation
	Group   string // heading under which it is listed
	Kind    Kind
	Default string   // in the setting's own notation; "" is nothing, or a value that is worked out at start
	Auto    string   // what "" or 0 stands for, for people
	Form    string   // what it takes, for people, where Kind does not say enough
	Min     string   // smallest value, in the setting's own notation
	Max     string   // largest value
	Choices []string // the words of a Choice, or words allowed beside a URL or HOST:PORT
	Doc     string   // one or two sentences

	Secret  bool // never shown
	schemes []string
	Many    bool // several values, with commas between; the flag may be given several times
	field   func(*Config) any
}

// Env returns the name of the environment variable of the setting.
func (s *Setting) Env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(Canonical(s.Name), "-", "_"))
}

// Flag returns the name of the flag of the setting, without dashes in front.
func (s *Setting) Flag() string { return Canonical(s.Name) }

// Config holds the value of every setting. Get one from Resolve.
type Config struct {
	// Where things are.
	Bucket string // URL; empty means a directory in Data
	WAL    string // URLs or "s3", with commas between; empty means what suits the bucket. See WALs
	Meta   string // URL; empty means the bucket
	Data   string // directory
	Zone   string
	NodeID int // -1: the next one
	Name   string

	// How clients reach the broker.
	Listen         string // HOST:PORT
	Advertise      string // HOST:PORT; empty means the listening address
	Admin          string // HOST:PORT or "off"
	Peer           string // HOST:PORT; empty means beside the Kafka listener
	MaxConnections int
	IdleTimeout    time.Duration
	MaxRequest     Bytes
	MaxInFlight    int

	// Who may connect, and what they may do. See Config.ListenerList, Config.SASLMechanisms, Config.SuperUserList.
	Listeners           string        // NAME://HOST:PORT, with commas between; empty means Listen alone, in plain text
	AdvertisedListeners string        // NAME://HOST:PORT, with commas between
	ListenerProtocols   string        // NAME:PROTOCOL, with commas between
	SSLKeystore         string        // PEM files, with commas between
	SSLTruststore       string        // PEM files, with commas between
	SSLClientAuth       string        // none, requested or required
	PeerProtocol        string        // between brokers
	SSLProtocols        string        // TLSv1.2 and TLSv1.3, with commas between
	SSLPrincipalRules   string        // as Kafka's ssl.principal.mapping.rules
	SASLMechanismList   string        // with commas between
	SASLUsers           string        // file
	MaxReauth           time.Duration // 0: sessions do not end
	AuthFailureDelay    time.Duration
	OAuthJWKS           string // URL
	OAuthIssuer         string
	OAuthAudience       string // with commas between
	OAuthSubClaim       string
	OAuthUnsecured      bool
	Authorizer          string // empty: nobody is refused anything
	SuperUsers          string // principals with semicolons between
	AllowIfNoACL        bool
	TokenSecret         string        // empty: no delegation tokens
	TokenMaxLifetime    time.Duration // of a delegation token, renewals included
	TokenExpiry         time.Duration // of a delegation token that is not renewed
	TokenCheck          time.Duration // between two looks for expired delegation tokens

	// Memory.
	Memory       Bytes // 0: from the machine
	WALCache     Bytes // 0: a share of Memory
	BlockCache   Bytes // 0: a share of Memory
	RequestBytes Bytes // 0: a share of Memory

	// Storage.
	UploadInterval    time.Duration
	UploadBytes       Bytes // 0: from the WAL cache
	StreamObjectBytes Bytes
	Compaction        bool
	CompactInterval   time.Duration
	CompactRate       Bytes
	CompactFollow     int
	CompactSplitAge   time.Duration
	CompactObject     Bytes
	WALPutsPerSecond  int
	WALStallTimeout   time.Duration // 0: never

	// Kafka behaviour.
	AutoCreateTopics     bool
	DeleteTopics         bool
	NumPartitions        int
	RetentionCheck       time.Duration
	CleanerEnable        bool
	CleanerThreads       int
	CleanerBackoff       time.Duration
	CleanerBuffer        Bytes
	FetchMaxBytes        Bytes
	FetchSessions        int
	GroupInitialDelay    time.Duration
	GroupMinSession      time.Duration
	GroupMaxSession      time.Duration
	GroupMaxSize         int
	ConsumerSession      time.Duration
	ConsumerSessionMin   time.Duration
	ConsumerSessionMax   time.Duration
	ConsumerBeat         time.Duration
	ConsumerBeatMin      time.Duration
	ConsumerBeatMax      time.Duration
	ConsumerAssign       time.Duration
	ConsumerAssignMin    time.Duration
	ConsumerAssignMax    time.Duration
	ConsumerMaxSize      int
	ConsumerAssignors    string // separated by commas
	ConsumerMigration    string
	ConsumerRegex        time.Duration
	ShareGroups          ShareGroups
	ShareMaxSize         int
	ShareSessions        int
	ShareStatePartitions int
	Streams              Streams
	OffsetsRetention     time.Duration
	OffsetsCheck         time.Duration
	OffsetsPartitions    int
	OffsetMetadataMax    int
	ProducerExpiration   time.Duration
	ProducerCheck        time.Duration
	TxnMaxTimeout        time.Duration
	TxnPartitions        int
	TxnIDExpiration      time.Duration
	TxnIDCheck           time.Duration

	// Limits of clients.
	QuotaWindows           int
	QuotaWindowSeconds     int
	ControllerQuotaWindows int
	ControllerQuotaSeconds int
	MaxConnectionsPerIP    int
	MaxConnectionsIPs      string // "address:number", separated by commas
	MaxConnectionRate      int

	// Balancing.
	Balance              bool
	BalanceThreshold     int // percent
	BalanceMoves         int
	BalanceExcludeTopics string // separated by commas; see Config.BalanceExclusions
	BalanceExcludeNodes  string // separated by commas
	BalanceDryRun        bool

	// Operation.
	Telemetry       string // "off", "metrics" or a URL
	TelemetryBytes  Bytes
	LogLevel        string
	LogFormat       string
	SweepInterval   time.Duration
	DeleteGrace     time.Duration
	ShutdownTimeout time.Duration
	StoreTimeout    time.Duration
	SessionTimeout  time.Duration
	CostPrices      string // file; empty: the tables that Sluice comes with
	CostTable       string // empty: by the URL of the bucket

	origin map[string]string
}

// Settings returns the declarations, in the order in which they are listed. The slice is shared and not to be changed.
func Settings() []Setting { return settings }

// Find returns the setting of that name in any notation, or nil.
func Find(name string) *Setting { return byName[Canonical(name)] }

var byName = func() map[string]*Setting {
	m := map[string]*Setting{}
	for i := range settings {
		m[Canonical(settings[i].Name)] = &settings[i]
	}
	if len(m) != len(settings) {
		panic("BUG: config: two settings have the same name")
	}
	return m
}()

const (
	storage  = "Where things are"
	network  = "How clients reach the broker"
	security = "Who may connect, and what they may do"
	memory   = "Memory"
	upload   = "Upload and WAL"
	objects  = "Compaction of objects"
	kafka    = "Kafka behaviour"
	quotas   = "Limits of clients"
	balance  = "Balancing"
	operator = "Operation"

	bucketForm = "file://DIR, s3://BUCKET/PREFIX?endpoint=URL&region=NAME&pathStyle=true, gs://BUCKET/PREFIX, or az://ACCOUNT/CONTAINER/PREFIX"
	metaForm   = "file://DIR, etcd://[USER:PASSWORD@]HOST:PORT[,HOST:PORT]/PREFIX, s3://BUCKET/PREFIX?endpoint=URL&region=NAME&pathStyle=true, gs://BUCKET/PREFIX, or az://ACCOUNT/CONTAINER/PREFIX"
	walForm    = "file://DIR, file://DIR?shared=true, s3, s3://BUCKET/PREFIX?endpoint=URL&region=NAME&pathStyle=true, gs://BUCKET/PREFIX, or az://ACCOUNT/CONTAINER/PREFIX"
)

var settings = slices.Concat([]Setting{
	{Name: "bucket", Group: storage, Kind: URL, Form: bucketForm, Auto: "the directory bucket in the data directory", schemes: []string{"file", "s3", "gs", "az", "mem"},
		Doc:   "Where the data is kept for good. Credentials come from where each cloud's tools look for them, and the options of the URLs are in docs/stores.md.",
		field: func(c *Config) any { return &c.Bucket }},
	{Name: "wal", Group: storage, Kind: URL, Form: walForm, Auto: "the directory wal in the data directory for a file bucket, s3 for a bucket in s3, gs or az", Choices: []string{"s3"}, Many: true, schemes: []string{"file", "s3", "gs", "az", "mem"},
		Doc:   "Where records are made durable before they are acknowledged. shared=true says that other nodes see the same directory, as on NFS or FSx; s3 alone means a log of objects in the bucket itself, whatever store it is. Several may be given: topics choose among them with sluice.wal.class, and partitions are spread over those of one class.",
		field: func(c *Config) any { return &c.WAL }},
	{Name: "meta", Group: storage, Kind: URL, Form: metaForm, Auto: "the bucket", schemes: []string{"file", "etcd", "s3", "gs", "az", "mem"},
		Doc:   "Where the metadata log is kept, the same for all nodes of the cluster. Snapshots of the metadata are in the bucket in any case. It is decided when the cluster is created and must not change afterwards.",
		field: func(c *Config) any { return &c.Meta }},
	{Name: "data", Group: storage, Kind: Path, Default: "data",
		Doc:   "Directory for everything that is kept on this machine: the identity of this node, and whatever of bucket and WAL is not placed elsewhere.",
		field: func(c *Config) any { return &c.Data }},
	{Name: "zone", Group: storage, Kind: Text,
		Doc:   "Availability zone of this node, Kafka's broker.rack.",
		field: func(c *Config) any { return &c.Zone }},
	{Name: "node.id", Group: storage, Kind: Int, Default: "-1", Auto: "the next one that is free, from 1 on", Min: "-1", Max: "16777216",
		Doc:   "The id that this node asks for when it starts for the first time; no node may have had it. The very first node of a cluster may ask for 0.",
		field: func(c *Config) any { return &c.NodeID }},
	{Name: "name", Group: storage, Kind: Text, Auto: "the host name",
		Doc:   "Name of this node in logs and listings.",
		field: func(c *Config) any { return &c.Name }},

	{Name: "listen", Group: network, Kind: HostPort, Default: "127.0.0.1:9092",
		Doc:   "Where Kafka clients connect. An empty host listens on all interfaces; port 0 takes a free port and says which.",
		field: func(c *Config) any { return &c.Listen }},
	{Name: "advertise", Group: network, Kind: HostPort, Auto: "the listening address, or the host name if that is all interfaces",
		Doc:   "The address that clients are told to connect to, if it is not the one that is listened on.",
		field: func(c *Config) any { return &c.Advertise }},
	{Name: "admin", Group: network, Kind: HostPort, Default: "127.0.0.1:9644", Choices: []string{"off"},
		Doc:   "HTTP server with /metrics, /healthz, /readyz and /debug/pprof.",
		field: func(c *Config) any { return &c.Admin }},
	{Name: "peer", Group: network, Kind: HostPort, Auto: "the host of listen, with the port of listen + 10000, or any free port if that is taken",
		Doc:   "Where the other brokers of the cluster reach this one. They prove to each other that they have access to the same metadata.",
		field: func(c *Config) any { return &c.Peer }},
	{Name: "max.connections", Group: network, Kind: Int, Default: "20000", Min: "1",
		Doc:   "Connections that are open at one time; more are closed at once.",
		field: func(c *Config) any { return &c.MaxConnections }},
	{Name: "connections.max.idle.ms", Group: network, Kind: Millis, Default: "600000", Min: "-1",
		Doc:   "A connection without a request for so long is closed; with 0 or -1 none is.",
		field: func(c *Config) any { return &c.IdleTimeout }},
	{Name: "socket.request.max.bytes", Group: network, Kind: Size, Default: "100MiB", Min: "1", Max: "1GiB",
		Doc:   "The largest request; a larger one closes its connection before memory is spent on it. Requests that are no Produce may have 8 MiB, or a quarter of request-memory if that is more.",
		field: func(c *Config) any { return &c.MaxRequest }},
	{Name: "max-in-flight", Group: network, Kind: Int, Default: "256", Min: "1", Max: "65536",
		Doc:   "Produce requests of one connection that wait for the WAL at one time; after that the connection is not read.",
		field: func(c *Config) any { return &c.MaxInFlight }},
}, securitySettings, []Setting{
	{Name: "memory", Group: memory, Kind: Size, Default: "0", Auto: "a quarter of the machine's memory, at most 256MiB",
		Doc:   "Memory of the process. Caches and buffers are shares of it, and Go's memory limit follows it. More of it means fewer, larger uploads and longer outages of the bucket that producers do not notice.",
		field: func(c *Config) any { return &c.Memory }},
	{Name: "wal-cache", Group: memory, Kind: Size, Default: "0", Auto: "30% of the memory",
		Doc:   "Memory for records that are not uploaded yet. It must hold what arrives while an upload runs.",
		field: func(c *Config) any { return &c.WALCache }},
	{Name: "block-cache", Group: memory, Kind: Size, Default: "0", Auto: "20% of the memory",
		Doc:   "Memory for blocks that were read from the bucket.",
		field: func(c *Config) any { return &c.BlockCache }},
	{Name: "request-memory", Group: memory, Kind: Size, Default: "0", Auto: "15% of the memory",
		Doc:   "Memory for requests that are being received; when it is used up, sockets are not read.",
		field: func(c *Config) any { return &c.RequestBytes }},

	{Name: "upload-interval", Group: upload, Kind: Duration, Default: "60s", Min: "10ms",
		Doc:   "Records are uploaded to the bucket after so long at the latest.",
		field: func(c *Config) any { return &c.UploadInterval }},
	{Name: "upload-bytes", Group: upload, Kind: Size, Default: "0", Auto: "a third of the WAL cache, at most 500MiB",
		Doc:   "Records are uploaded when there are so many bytes of them.",
		field: func(c *Config) any { return &c.UploadBytes }},
	{Name: "stream-object-bytes", Group: upload, Kind: Size, Default: "64MiB", Min: "4KiB",
		Doc:   "A partition with so many bytes in one upload gets an object of its own, for one more put; the others share one.",
		field: func(c *Config) any { return &c.StreamObjectBytes }},
	{Name: "wal-s3-puts-per-second", Group: upload, Kind: Int, Default: "4", Min: "1", Max: "10000",
		Doc:   "Request budget of an s3 WAL: puts per second while they are small; full objects of 8 MiB go out beyond it. More puts cost more money and give lower latency.",
		field: func(c *Config) any { return &c.WALPutsPerSecond }},
	{Name: "wal-stall-timeout", Group: upload, Kind: Duration, Default: "30s", Min: "0",
		Doc:   "A file WAL counts as failed when an operation of its disk has been under way for so long, as when the disk had reported an error; after a fifth of that there is a warning. 0 is never.",
		field: func(c *Config) any { return &c.WALStallTimeout }},

	{Name: "compaction", Group: objects, Kind: Bool, Default: "true",
		Doc:   "Objects in the bucket are merged and split in the background, which bounds their number, the metadata, and what old data costs to read.",
		field: func(c *Config) any { return &c.Compaction }},
	{Name: "compaction-interval", Group: objects, Kind: Duration, Default: "5m", Min: "1s",
		Doc:   "How often it is looked at what there is to compact.",
		field: func(c *Config) any { return &c.CompactInterval }},
	{Name: "compaction-bandwidth", Group: objects, Kind: Size, Default: "50MiB", Auto: "no limit",
		Doc:   "Bytes per second that compaction, of objects and of keys, reads and writes together; more where that is not enough, see compaction-bandwidth-factor. While producers or readers wait for the bucket it takes an eighth of it.",
		field: func(c *Config) any { return &c.CompactRate }},
	{Name: "compaction-bandwidth-factor", Group: objects, Kind: Int, Default: "6", Min: "0", Max: "1000",
		Doc:   "Compaction may take so many times the bytes per second that this broker uploads, when that is more than compaction-bandwidth: what comes in is read and written some two times each until it is in large objects. 0 makes compaction-bandwidth a limit.",
		field: func(c *Config) any { return &c.CompactFollow }},
	{Name: "compaction-force-split", Group: objects, Kind: Duration, Default: "2h", Min: "1s",
		Doc:   "In objects older than this, a partition with 32 MiB or more gets an object of its own, unless the object holds 8 MiB or more of each partition on average.",
		field: func(c *Config) any { return &c.CompactSplitAge }},
	{Name: "compaction-object-bytes", Group: objects, Kind: Size, Default: "128MiB", Min: "1MiB",
		Doc:   "The largest object that compaction makes; at most half of its memory, which is a tenth of the whole and at most 512 MiB. Above 128 MiB S3 takes several requests for it.",
		field: func(c *Config) any { return &c.CompactObject }},

	{Name: "auto.create.topics.enable", Group: kafka, Kind: Bool, Default: "true",
		Doc:   "A topic is created when a client asks for its metadata and allows it.",
		field: func(c *Config) any { return &c.AutoCreateTopics }},
	{Name: "delete.topic.enable", Group: kafka, Kind: Bool, Default: "true",
		Doc:   "Topics can be deleted; without it a request to delete one is refused.",
		field: func(c *Config) any { return &c.DeleteTopics }},
	{Name: "num.partitions", Group: kafka, Kind: Int, Default: "1", Min: "1", Max: "100000",
		Doc:   "Partitions of a topic that is created without saying how many.",
		field: func(c *Config) any { return &c.NumPartitions }},
	{Name: "log.retention.check.interval.ms", Group: kafka, Kind: Millis, Default: "300000", Min: "1",
		Doc:   "How often retention is looked at.",
		field: func(c *Config) any { return &c.RetentionCheck }},
	{Name: "log.cleaner.enable", Group: kafka, Kind: Bool, Default: "true",
		Doc:   "Topics with cleanup.policy=compact are compacted by key.",
		field: func(c *Config) any { return &c.CleanerEnable }},
	{Name: "log.cleaner.threads", Group: kafka, Kind: Int, Default: "1", Min: "0", Max: "64",
		Doc:   "Partitions that are compacted by key at a time; 0 is none.",
		field: func(c *Config) any { return &c.CleanerThreads }},
	{Name: "log.cleaner.backoff.ms", Group: kafka, Kind: Millis, Default: "15000", Min: "10",
		Doc:   "How often partitions that are due for compaction by key are looked for.",
		field: func(c *Config) any { return &c.CleanerBackoff }},
	{Name: "log.cleaner.dedupe.buffer.size", Group: kafka, Kind: Size, Default: "128MiB", Min: "64KiB",
		Doc:   "Memory for the keys of partitions that are being compacted, all together; at most a sixteenth of the memory. More takes fewer passes: 24 bytes are one key.",
		field: func(c *Config) any { return &c.CleanerBuffer }},
	{Name: "fetch.max.bytes", Group: kafka, Kind: Size, Default: "55MiB", Min: "1KiB",
		Doc:   "The most a fetch is answered with, whatever it asks for; one batch may exceed it.",
		field: func(c *Config) any { return &c.FetchMaxBytes }},
	{Name: "max.incremental.fetch.session.cache.slots", Group: kafka, Kind: Int, Default: "1000", Min: "0",
		Doc:   "Incremental fetch sessions that are kept.",
		field: func(c *Config) any { return &c.FetchSessions }},
	{Name: "group.initial.rebalance.delay.ms", Group: kafka, Kind: Millis, Default: "3000", Min: "0",
		Doc:   "How long an empty consumer group waits for more members after the first one has joined.",
		field: func(c *Config) any { return &c.GroupInitialDelay }},
	{Name: "group.min.session.timeout.ms", Group: kafka, Kind: Millis, Default: "6000", Min: "0",
		Doc:   "The shortest session timeout a group member may ask for.",
		field: func(c *Config) any { return &c.GroupMinSession }},
	{Name: "group.max.session.timeout.ms", Group: kafka, Kind: Millis, Default: "1800000", Min: "1",
		Doc:   "The longest session timeout a group member may ask for.",
		field: func(c *Config) any { return &c.GroupMaxSession }},
	{Name: "group.max.size", Group: kafka, Kind: Int, Default: "2147483647", Min: "1", Max: "2147483647",
		Doc:   "Members of one consumer group.",
		field: func(c *Config) any { return &c.GroupMaxSize }},
	{Name: "group.consumer.session.timeout.ms", Group: kafka, Kind: Millis, Default: "45000", Min: "1",
		Doc:   "A member of a group of the consumer protocol that sends no heartbeat for so long is taken out, unless its group is configured otherwise.",
		field: func(c *Config) any { return &c.ConsumerSession }},
	{Name: "group.consumer.min.session.timeout.ms", Group: kafka, Kind: Millis, Default: "45000", Min: "1",
		Doc:   "The shortest session timeout that may be configured for a group.",
		field: func(c *Config) any { return &c.ConsumerSessionMin }},
	{Name: "group.consumer.max.session.timeout.ms", Group: kafka, Kind: Millis, Default: "60000", Min: "1",
		Doc:   "The longest session timeout that may be configured for a group.",
		field: func(c *Config) any { return &c.ConsumerSessionMax }},
	{Name: "group.consumer.heartbeat.interval.ms", Group: kafka, Kind: Millis, Default: "5000", Min: "1",
		Doc:   "How often members of groups of the consumer protocol are told to send heartbeats, unless their group is configured otherwise.",
		field: func(c *Config) any { return &c.ConsumerBeat }},
	{Name: "group.consumer.min.heartbeat.interval.ms", Group: kafka, Kind: Millis, Default: "5000", Min: "1",
		Doc:   "The shortest heartbeat interval that may be configured for a group.",
		field: func(c *Config) any { return &c.ConsumerBeatMin }},
	{Name: "group.consumer.max.heartbeat.interval.ms", Group: kafka, Kind: Millis, Default: "15000", Min: "1",
		Doc:   "The longest heartbeat interval that may be configured for a group.",
		field: func(c *Config) any { return &c.ConsumerBeatMax }},
	{Name: "group.consumer.assignment.interval.ms", Group: kafka, Kind: Millis, Default: "1000", Min: "0",
		Doc:   "The shortest time between two assignments of a group of the consumer protocol, unless its group is configured otherwise. What changes meanwhile is assigned together, with the first heartbeat after it.",
		field: func(c *Config) any { return &c.ConsumerAssign }},
	{Name: "group.consumer.min.assignment.interval.ms", Group: kafka, Kind: Millis, Default: "0", Min: "0",
		Doc:   "The shortest assignment interval that may be configured for a group.",
		field: func(c *Config) any { return &c.ConsumerAssignMin }},
	{Name: "group.consumer.max.assignment.interval.ms", Group: kafka, Kind: Millis, Default: "15000", Min: "0",
		Doc:   "The longest assignment interval that may be configured for a group.",
		field: func(c *Config) any { return &c.ConsumerAssignMax }},
	{Name: "group.consumer.max.size", Group: kafka, Kind: Int, Default: "2147483647", Min: "1", Max: "2147483647",
		Doc:   "Members of one group of the consumer protocol.",
		field: func(c *Config) any { return &c.ConsumerMaxSize }},
	{Name: "group.consumer.assignors", Group: kafka, Kind: Choice, Default: "uniform,range", Choices: []string{"uniform", "range", "uniform,range", "range,uniform"},
		Doc:   "How groups of the consumer protocol may have their partitions assigned; the first is taken where members do not say.",
		field: func(c *Config) any { return &c.ConsumerAssignors }},
	{Name: "group.consumer.migration.policy", Group: kafka, Kind: Choice, Default: "bidirectional", Choices: []string{"bidirectional", "upgrade", "downgrade", "disabled"},
		Doc:   "Whether a live group may change from the classic to the consumer protocol (upgrade) and back (downgrade).",
		field: func(c *Config) any { return &c.ConsumerMigration }},
	{Name: "group.consumer.regex.refresh.interval.ms", Group: kafka, Kind: Millis, Default: "600000", Min: "10000",
		Doc:   "How often a group of the consumer protocol matches an expression anew though no topic has come or gone: which topics its member may describe may have changed.",
		field: func(c *Config) any { return &c.ConsumerRegex }},
}, shareSettings, []Setting{
	{Name: "group.share.max.size", Group: kafka, Kind: Int, Default: "200", Min: "1", Max: "1000",
		Doc:   "Members of one share group.",
		field: func(c *Config) any { return &c.ShareMaxSize }},
	{Name: "group.share.max.share.sessions", Group: kafka, Kind: Int, Default: "2000", Min: "1", Max: "2147483647",
		Doc:   "Share sessions of one broker: one for each member of a share group that reads from it.",
		field: func(c *Config) any { return &c.ShareSessions }},
}, streamsSettings, []Setting{
	{Name: "share.coordinator.state.topic.num.partitions", Group: kafka, Kind: Int, Default: "50", Min: "1", Max: "10000",
		Doc:   "Partitions of __share_group_state, when it is created.",
		field: func(c *Config) any { return &c.ShareStatePartitions }},
	{Name: "offsets.retention.minutes", Group: kafka, Kind: Minutes, Default: "10080", Min: "1",
		Doc:   "Committed offsets of an empty group are dropped after so long.",
		field: func(c *Config) any { return &c.OffsetsRetention }},
	{Name: "offsets.retention.check.interval.ms", Group: kafka, Kind: Millis, Default: "600000", Min: "1",
		Doc:   "How often old committed offsets are looked for.",
		field: func(c *Config) any { return &c.OffsetsCheck }},
	{Name: "offsets.topic.num.partitions", Group: kafka, Kind: Int, Default: "50", Min: "1", Max: "10000",
		Doc:   "Partitions of __consumer_offsets when it is created; it must not change afterwards.",
		field: func(c *Config) any { return &c.OffsetsPartitions }},
	{Name: "offset.metadata.max.bytes", Group: kafka, Kind: Int, Default: "4096", Min: "0",
		Doc:   "The longest metadata text of a committed offset, in bytes.",
		field: func(c *Config) any { return &c.OffsetMetadataMax }},
	{Name: "producer.id.expiration.ms", Group: kafka, Kind: Millis, Default: "86400000", Min: "1",
		Doc:   "An idempotent producer that has not written for so long is forgotten.",
		field: func(c *Config) any { return &c.ProducerExpiration }},
	{Name: "producer.id.expiration.check.interval.ms", Group: kafka, Kind: Millis, Default: "600000", Min: "1",
		Doc:   "How often producers that have not written for so long are looked for.",
		field: func(c *Config) any { return &c.ProducerCheck }},
	{Name: "transaction.max.timeout.ms", Group: kafka, Kind: Millis, Default: "900000", Min: "1", Max: "2147483647",
		Doc:   "The longest transaction.timeout.ms a producer may ask for. A transaction that is open for longer than its timeout is aborted.",
		field: func(c *Config) any { return &c.TxnMaxTimeout }},
	{Name: "transaction.state.log.num.partitions", Group: kafka, Kind: Int, Default: "50", Min: "1", Max: "10000",
		Doc:   "Partitions of __transaction_state when it is created; it must not change afterwards.",
		field: func(c *Config) any { return &c.TxnPartitions }},
	{Name: "transactional.id.expiration.ms", Group: kafka, Kind: Millis, Default: "604800000", Min: "1",
		Doc:   "A transactional id that nobody has used for so long is forgotten.",
		field: func(c *Config) any { return &c.TxnIDExpiration }},
	{Name: "transaction.remove.expired.transaction.cleanup.interval.ms", Group: kafka, Kind: Millis, Default: "3600000", Min: "1",
		Doc:   "How often transactional ids to forget are looked for.",
		field: func(c *Config) any { return &c.TxnIDCheck }},

	{Name: "quota.window.num", Group: quotas, Kind: Int, Default: "11", Min: "1", Max: "1000",
		Doc:   "Windows over which bytes, CPU time and connections are counted for client quotas.",
		field: func(c *Config) any { return &c.QuotaWindows }},
	{Name: "quota.window.size.seconds", Group: quotas, Kind: Int, Default: "1", Min: "1", Max: "3600",
		Doc:   "Length of one of these windows.",
		field: func(c *Config) any { return &c.QuotaWindowSeconds }},
	{Name: "controller.quota.window.num", Group: quotas, Kind: Int, Default: "11", Min: "1", Max: "1000",
		Doc:   "Windows whose partitions a client may create and delete at once under a quota.",
		field: func(c *Config) any { return &c.ControllerQuotaWindows }},
	{Name: "controller.quota.window.size.seconds", Group: quotas, Kind: Int, Default: "1", Min: "1", Max: "3600",
		Doc:   "Length of one of these windows.",
		field: func(c *Config) any { return &c.ControllerQuotaSeconds }},
	{Name: "max.connections.per.ip", Group: quotas, Kind: Int, Default: "2147483647", Min: "0", Max: "2147483647",
		Doc:   "Connections of one address that are open at one time; more are closed at once. It can be changed at run time.",
		field: func(c *Config) any { return &c.MaxConnectionsPerIP }},
	{Name: "max.connections.per.ip.overrides", Group: quotas, Kind: Text, Form: "ADDRESS:NUMBER, separated by commas", Auto: "none",
		Doc:   "Other limits for some addresses. It can be changed at run time.",
		field: func(c *Config) any { return &c.MaxConnectionsIPs }},
	{Name: "max.connection.creation.rate", Group: quotas, Kind: Int, Default: "2147483647", Min: "0", Max: "2147483647",
		Doc:   "Connections that are accepted in a second; others wait in the system's queue. It can be changed at run time.",
		field: func(c *Config) any { return &c.MaxConnectionRate }},

	{Name: "balance", Group: balance, Kind: Bool, Default: "true",
		Doc:   "Partitions are moved between brokers until partitions, bytes, requests and CPU are even. This and the other settings of balancing count on the broker that is the controller: give all brokers the same.",
		field: func(c *Config) any { return &c.Balance }},
	{Name: "balance-threshold", Group: balance, Kind: Int, Form: "percent", Default: "20", Min: "5", Max: "1000",
		Doc:   "How far a broker may be off the mean before anything is moved, in percent of the mean.",
		field: func(c *Config) any { return &c.BalanceThreshold }},
	{Name: "balance-moves-in-flight", Group: balance, Kind: Int, Default: "500", Min: "1", Max: "100000",
		Doc:   "Partitions that are on their way to another broker at one time, for balancing or because a broker is drained.",
		field: func(c *Config) any { return &c.BalanceMoves }},
	{Name: "balance-exclude-topics", Group: balance, Kind: Text, Auto: "none", Form: "names separated by commas, with * and ? as wildcards",
		Doc:   "Topics that balancing does not move.",
		field: func(c *Config) any { return &c.BalanceExcludeTopics }},
	{Name: "balance-exclude-nodes", Group: balance, Kind: Text, Auto: "none", Form: "node ids separated by commas",
		Doc:   "Brokers that balancing moves nothing to and nothing from.",
		field: func(c *Config) any { return &c.BalanceExcludeNodes }},
	{Name: "balance-dry-run", Group: balance, Kind: Bool, Default: "false",
		Doc:   "What balancing would do is logged, with the reasons, and not done.",
		field: func(c *Config) any { return &c.BalanceDryRun }},

	{Name: "telemetry", Group: operator, Kind: URL, Default: "off", Form: "off, metrics, or http://HOST:PORT/v1/metrics", Choices: []string{"off", "metrics"}, schemes: []string{"http", "https"},
		Doc:   "What becomes of the metrics that clients push (KIP-714): clients are not asked for any (off), they are shown in /metrics, or they are sent on to an OpenTelemetry collector (OTLP, protobuf). Which metrics clients push is said with kafka-client-metrics.sh.",
		field: func(c *Config) any { return &c.Telemetry }},
	{Name: "telemetry.max.bytes", Group: operator, Kind: Size, Default: "1MiB", Min: "1",
		Doc:   "The largest push of metrics, compressed.",
		field: func(c *Config) any { return &c.TelemetryBytes }},
	{Name: "log-level", Group: operator, Kind: Choice, Default: "info", Choices: []string{"debug", "info", "warn", "error"},
		Doc:   "The least important messages that are logged.",
		field: func(c *Config) any { return &c.LogLevel }},
	{Name: "log-format", Group: operator, Kind: Choice, Default: "text", Choices: []string{"text", "json"},
		Doc:   "How log lines look on standard error.",
		field: func(c *Config) any { return &c.LogFormat }},
	{Name: "broker.session.timeout.ms", Group: operator, Kind: Millis, Default: "6000", Min: "500", Max: "3600000",
		Doc:   "A broker that the controller has not heard of for so long is fenced and its partitions go to others. The same for all brokers of a cluster.",
		field: func(c *Config) any { return &c.SessionTimeout }},
	{Name: "sweep-interval", Group: operator, Kind: Duration, Default: "24h", Min: "0s",
		Doc:   "How often the controller looks through the bucket for objects and slots that nothing refers to, and removes those older than an hour; 0 is never. It costs one listing request per 1,000 keys.",
		field: func(c *Config) any { return &c.SweepInterval }},
	{Name: "delete-grace", Group: operator, Kind: Duration, Default: "5m", Min: "1s",
		Doc:   "How long an object that nothing refers to any more stays in the bucket. A broker that reads one that is gone looks up where the data is now, so this saves requests and is no matter of safety.",
		field: func(c *Config) any { return &c.DeleteGrace }},
	{Name: "shutdown-timeout", Group: operator, Kind: Duration, Default: "30s", Min: "100ms",
		Doc:   "How long a shutdown may take to answer requests and upload what is left. Nothing is lost when it is not enough.",
		field: func(c *Config) any { return &c.ShutdownTimeout }},
	{Name: "store-timeout", Group: operator, Kind: Duration, Default: "30s", Min: "100ms",
		Doc:   "How long the start waits for the bucket to answer before it gives up.",
		field: func(c *Config) any { return &c.StoreTimeout }},
	{Name: "cost-prices", Group: operator, Kind: Text, Auto: "list prices that come with Sluice", Form: "name of a JSON file",
		Doc:   "Price tables for sluice cost and the metrics, beside those that come with Sluice; sluice cost --print-prices shows the form.",
		field: func(c *Config) any { return &c.CostPrices }},
	{Name: "cost-table", Group: operator, Kind: Text, Auto: "by the URL of the bucket", Form: "name of a price table",
		Doc:   "The price table of the bucket, where its URL does not say who bills it.",
		field: func(c *Config) any { return &c.CostTable }},
})

// check proves the relations between settings.
func (c *Config) check() error {
	if c.GroupMinSession > c.GroupMaxSession {
		return base.Errorf(base.Invalid, "setting group.min.session.timeout.ms = %d (%s): it is above group.max.session.timeout.ms = %d",
			c.GroupMinSession.Milliseconds(), c.Origin("group.min.session.timeout.ms"), c.GroupMaxSession.Milliseconds())
	}
	if c.Memory != 0 && c.Memory < minMemory {
		return base.Errorf(base.Invalid, "setting memory = %s (%s): it is too small; the smallest is %s", c.Memory, c.Origin("memory"), Bytes(minMemory))
	}
	if err := c.checkSecurity(); err != nil {
		return err
	}
	_, _, err := c.BalanceExclusions()
	return err
}
