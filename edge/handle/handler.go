package handle

import (
	"fmt"
	"log/slog"
	"time"

	"sluice/broker/auth"
	"sluice/edge/kafka"
	"sluice/edge/quota"
	"sluice/wire/kbin"
	"sluice/wire/msg"
)

// serve starts a request of one API.
type serve func(h *Handler, c *call)

// apis says how each offered API is served. Versions are in package msg.
var apis = map[int16]serve{
	msg.KeyProduce:                     async((*Handler).produce),
	msg.KeyFetch:                       async((*Handler).fetch),
	msg.KeyListOffsets:                 sync((*Handler).listOffsets),
	msg.KeyMetadata:                    sync((*Handler).metadata),
	msg.KeyOffsetCommit:                async((*Handler).offsetCommit),
	msg.KeyOffsetFetch:                 async((*Handler).offsetFetch),
	msg.KeyFindCoordinator:             async((*Handler).findCoordinator),
	msg.KeyJoinGroup:                   async((*Handler).joinGroup),
	msg.KeyHeartbeat:                   async((*Handler).heartbeat),
	msg.KeyLeaveGroup:                  async((*Handler).leaveGroup),
	msg.KeySyncGroup:                   async((*Handler).syncGroup),
	msg.KeyDescribeGroups:              async((*Handler).describeGroups),
	msg.KeyListGroups:                  async((*Handler).listGroups),
	msg.KeyApiVersions:                 sync((*Handler).apiVersions),
	msg.KeyCreateTopics:                sync((*Handler).createTopics),
	msg.KeyDeleteTopics:                sync((*Handler).deleteTopics),
	msg.KeyDeleteRecords:               sync((*Handler).deleteRecords),
	msg.KeyInitProducerId:              async((*Handler).initProducerID),
	msg.KeyOffsetForLeaderEpoch:        sync((*Handler).offsetForLeaderEpoch),
	msg.KeyAddPartitionsToTxn:          async((*Handler).addPartitionsToTxn),
	msg.KeyAddOffsetsToTxn:             async((*Handler).addOffsetsToTxn),
	msg.KeyEndTxn:                      async((*Handler).endTxn),
	msg.KeyWriteTxnMarkers:             async((*Handler).writeTxnMarkers),
	msg.KeyTxnOffsetCommit:             async((*Handler).txnOffsetCommit),
	msg.KeyDescribeConfigs:             sync((*Handler).describeConfigs),
	msg.KeyAlterConfigs:                sync((*Handler).alterConfigs),
	msg.KeyAlterReplicaLogDirs:         sync((*Handler).alterReplicaLogDirs),
	msg.KeyDescribeLogDirs:             sync((*Handler).describeLogDirs),
	msg.KeyCreatePartitions:            sync((*Handler).createPartitions),
	msg.KeyDeleteGroups:                async((*Handler).deleteGroups),
	msg.KeyConsumerGroupHeartbeat:      async((*Handler).consumerGroupHeartbeat),
	msg.KeyConsumerGroupDescribe:       async((*Handler).consumerGroupDescribe),
	msg.KeyShareGroupHeartbeat:         async((*Handler).shareGroupHeartbeat),
	msg.KeyShareGroupDescribe:          async((*Handler).shareGroupDescribe),
	msg.KeyStreamsGroupHeartbeat:       async((*Handler).streamsGroupHeartbeat),
	msg.KeyStreamsGroupDescribe:        async((*Handler).streamsGroupDescribe),
	msg.KeyShareFetch:                  async((*Handler).shareFetch),
	msg.KeyShareAcknowledge:            async((*Handler).shareAcknowledge),
	msg.KeyDescribeShareGroupOffsets:   async((*Handler).describeShareGroupOffsets),
	msg.KeyAlterShareGroupOffsets:      async((*Handler).alterShareGroupOffsets),
	msg.KeyDeleteShareGroupOffsets:     async((*Handler).deleteShareGroupOffsets),
	msg.KeyElectLeaders:                sync((*Handler).electLeaders),
	msg.KeyIncrementalAlterConfigs:     sync((*Handler).incrementalAlterConfigs),
	msg.KeyAlterPartitionReassignments: sync((*Handler).alterPartitionReassignments),
	msg.KeyListPartitionReassignments:  sync((*Handler).listPartitionReassignments),
	msg.KeyOffsetDelete:                async((*Handler).offsetDelete),
	msg.KeyDescribeClientQuotas:        sync((*Handler).describeClientQuotas),
	msg.KeyAlterClientQuotas:           sync((*Handler).alterClientQuotas),
	msg.KeyDescribeQuorum:              sync((*Handler).describeQuorum),
	msg.KeyUpdateFeatures:              sync((*Handler).updateFeatures),
	msg.KeyDescribeCluster:             sync((*Handler).describeCluster),
	msg.KeyDescribeProducers:           sync((*Handler).describeProducers),
	msg.KeyUnregisterBroker:            sync((*Handler).unregisterBroker),
	msg.KeyDescribeTransactions:        async((*Handler).describeTransactions),
	msg.KeyListTransactions:            async((*Handler).listTransactions),
	msg.KeyGetTelemetrySubscriptions:   sync((*Handler).getTelemetrySubscriptions),
	msg.KeyPushTelemetry:               sync((*Handler).pushTelemetry),
	msg.KeyListConfigResources:         sync((*Handler).listConfigResources),
	msg.KeyDescribeTopicPartitions:     sync((*Handler).describeTopicPartitions),

	msg.KeySaslHandshake:                async((*Handler).saslHandshake),
	msg.KeySaslAuthenticate:             async((*Handler).saslAuthenticate),
	msg.KeyDescribeAcls:                 sync((*Handler).describeAcls),
	msg.KeyCreateAcls:                   sync((*Handler).createAcls),
	msg.KeyDeleteAcls:                   sync((*Handler).deleteAcls),
	msg.KeyDescribeUserScramCredentials: sync((*Handler).describeScram),
	msg.KeyAlterUserScramCredentials:    sync((*Handler).alterScram),
	msg.KeyCreateDelegationToken:        sync((*Handler).createToken),
	msg.KeyRenewDelegationToken:         sync((*Handler).renewToken),
	msg.KeyExpireDelegationToken:        sync((*Handler).expireToken),
	msg.KeyDescribeDelegationToken:      sync((*Handler).describeTokens),
}

// message is a message of which PT is the pointer.
type message[T any] interface {
	*T
	msg.Message
}

// sync serves an API with a function that returns the response, nil after it gave the connection up; it may block.
func sync[Q, R any, PQ message[Q], PR message[R]](fn func(*Handler, *call, *Q) *R) serve {
	return func(h *Handler, c *call) {
		req := PQ(new(Q))
		if c.decode(req) && h.pass(c, req) {
			if resp := fn(h, c, (*Q)(req)); resp != nil {
				c.reply(PR(resp))
			}
		}
	}
}

// async serves an API with a function that sees to the answer itself.
func async[Q any, PQ message[Q]](fn func(*Handler, *call, *Q)) serve {
	return func(h *Handler, c *call) {
		req := PQ(new(Q))
		if c.decode(req) && h.pass(c, req) {
			fn(h, c, (*Q)(req))
		}
	}
}

// call is a request on its way through the handler.
type call struct {
	*kafka.Request
	client string // the client id, empty if there is none
	body   kbin.Reader
	limits *quota.Client // nil: none

	throttle time.Duration // what the client is told to wait

	session *session
	after   []func(msg.Message) // change the answer; see guard
	denied  bool                // something was taken out of the request
}

// Principal returns who the client is.
func (c *call) Principal() auth.Principal { return c.session.who }

// decode reads the body into m, or aborts the connection.
func (c *call) decode(m msg.Message) bool {
	m.Decode(&c.body, c.Version)
	if err := c.body.Err(); err != nil {
		c.Abort(fmt.Sprintf("malformed %s request, version %d: %v", msg.Name(c.Key), c.Version, err))
		return false
	}
	return true
}

// reply answers with m.
func (c *call) reply(m msg.Message) {
	for _, change := range c.after {
		change(m)
	}
	if c.throttle > 0 {
		tellThrottle(m, c.throttle)
	}
	c.Reply(kafka.Reply{Segments: [][]byte{m.Append(c.responseHeader(make([]byte, 0, 256)), c.Version)}})
}

// responseHeader appends what stands between the correlation id, which the connection writes, and the body.
func (c *call) responseHeader(dst []byte) []byte {
	if c.Key != msg.KeyApiVersions && msg.IsFlexible(c.Key, c.Version) {
		return append(dst, 0)
	}
	return dst
}

// Handler serves requests. It implements kafka.Handler.
type Handler struct {
	opt Options
	log *slog.Logger
}

// New returns a handler.
func New(opt Options) *Handler {
	h := &Handler{opt: opt, log: opt.Logger}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	return h
}

// authorizer returns what decides what clients may do, nil if nobody is refused anything.
func (h *Handler) authorizer() *auth.Authorizer {
	if h.opt.Security == nil || h.opt.Security.Authorizer == nil {
		return nil
	}
	return h.opt.Security.Authorizer()
}

// APIName names an API for metrics.
func APIName(key int16) string {
	if name := msg.Name(key); name != "" {
		return name
	}
	return "unknown"
}

// Handle implements kafka.Handler.
func (h *Handler) Handle(r *kafka.Request) {
	s := h.session(r)
	if s == nil || !h.mayPass(s, r) {
		return
	}
	if r.Key == kafka.TokenKey {
		h.bareToken(&call{Request: r, session: s})
		return
	}
	serve, known := apis[r.Key]
	row, offered := msg.Lookup(r.Key)
	switch {
	case !known || !offered || !h.offers(r.Key):
		r.Abort(fmt.Sprintf("API key %d is not offered", r.Key))
		return
	case r.Version < row.Min || r.Version > row.Max:
		if r.Key == msg.KeyApiVersions {
			h.unknownApiVersions(r)
			return
		}
		r.Abort(fmt.Sprintf("%s version %d is not offered; %d to %d are", msg.Name(r.Key), r.Version, row.Min, row.Max))
		return
	}
	c := &call{Request: r, session: s, body: kbin.NewReader(r.Body)}
	if id := c.body.NullableString(false); id != nil {
		c.client = *id
	}
	if msg.IsFlexible(r.Key, r.Version) {
		c.body.Tags(nil)
	}
	h.limited(c, serve)
}

// add appends an element with its defaults to a slice of a message and returns it; the pointer is good until the next add. Mind that the
// default of most nullable strings is the empty string: where null is meant, say so.
func add[T any, P interface {
	*T
	SetDefaults()
}](s *[]T) P {
	var zero T
	*s = append(*s, zero)
	p := P(&(*s)[len(*s)-1])
	p.SetDefaults()
	return p
}
