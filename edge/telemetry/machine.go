package telemetry

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"

	"sluice/base"
	"sluice/broker/topicconfig"
	"sluice/wire/batch"
	"sluice/wire/kerr"
)

const (
	// clientsMax bounds the clients that are remembered; those that are silent for longest go first.
	clientsMax = 4096
	// seriesMax bounds the series that are kept of one client.
	seriesMax = 500
	// plainMax bounds a push after decompression.
	plainMax = 8 << 20
	// defaultIntervalMS is how often a client comes that no subscription matches.
	defaultIntervalMS = 5 * 60 * 1000
	// silentMS is how long a client is remembered at least, or three intervals if that is longer.
	silentMS = 60_000
	// all, in a subscription, means every metric.
	all = "*"
)

// Client is what is known of who asks.
type Client struct {
	Instance                  base.UUID
	ID                        string // client id
	SoftwareName, SoftwareVer string
	Address, Port             string
}

// what returns the property of a client that a subscription can match.
func (c *Client) what(name string) string {
	switch name {
	case "client_instance_id":
		return c.Instance.String()
	case "client_id":
		return c.ID
	case "client_software_name":
		return c.SoftwareName
	case "client_software_version":
		return c.SoftwareVer
	case "client_source_address":
		return c.Address
	case "client_source_port":
		return c.Port
	}
	return ""
}

// Subscription is one of those that are configured.
type Subscription struct {
	metrics    []string
	intervalMS int64
	matches    []topicconfig.ClientMatch
}

// NewSubscription reads the settings of a subscription, which have been validated.
func NewSubscription(settings map[string]string) (Subscription, error) {
	s := Subscription{metrics: topicconfig.SplitList(settings["metrics"]), intervalMS: defaultIntervalMS}
	var err error
	if v, ok := settings["interval.ms"]; ok {
		if s.intervalMS, err = strconv.ParseInt(strings.TrimSpace(v), 10, 64); err != nil {
			return s, err
		}
	}
	s.matches, err = topicconfig.ParseClientMatches(settings["match"])
	return s, err
}

func (s *Subscription) matchesClient(c *Client) bool {
	return !slices.ContainsFunc(s.matches, func(m topicconfig.ClientMatch) bool { return !m.Pattern.MatchString(c.what(m.What)) })
}

// Told is what a client is told to send.
type Told struct {
	ID         int32
	Metrics    []string // prefixes of names; none: nothing
	IntervalMS int64
}

// tell works out what a client is to send.
func tell(subs []Subscription, c *Client) Told {
	t := Told{IntervalMS: defaultIntervalMS}
	for i := range subs {
		if subs[i].matchesClient(c) {
			t.Metrics = append(t.Metrics, subs[i].metrics...)
			t.IntervalMS = min(t.IntervalMS, subs[i].intervalMS)
		}
	}
	slices.Sort(t.Metrics)
	t.Metrics = slices.Compact(t.Metrics)
	if slices.Contains(t.Metrics, all) {
		t.Metrics = []string{all, ""} // franz-go takes the star for a prefix; to every client the empty prefix is one of all names
	}
	crc := crc32.Checksum([]byte(strings.Join(t.Metrics, ",")+strconv.FormatInt(t.IntervalMS, 10)), crc32.MakeTable(crc32.Castagnoli))
	for part := range slices.Chunk(c.Instance[:], 4) {
		crc ^= binary.BigEndian.Uint32(part)
	}
	t.ID = int32(crc)
	return t
}

// state is what is remembered of a client.
type state struct {
	client      Client
	told        Told
	version     uint64 // of the subscriptions that told is from
	seenMS      int64
	askedMS     int64 // -1: never
	pushedMS    int64 // -1: never
	terminating bool
	series      map[seriesKey]point
}

func newState(c Client, subs []Subscription, version uint64) *state {
	return &state{client: c, told: tell(subs, &c), version: version, askedMS: -1, pushedMS: -1}
}

// ask says whether the client may ask now.
func (s *state) ask(nowMS int64) kerr.Code {
	if last := max(s.askedMS, s.pushedMS); last >= 0 && nowMS-last < s.told.IntervalMS {
		return kerr.ThrottlingQuotaExceeded
	}
	s.askedMS = nowMS
	return kerr.None
}

// push says whether the client may push now. The first push after a question may come at any time: clients spread theirs.
func (s *state) push(p *Push, maxBytes int, nowMS int64) kerr.Code {
	if s.terminating {
		return kerr.InvalidRequest
	}
	early := s.askedMS <= s.pushedMS && s.pushedMS >= 0 && nowMS-s.pushedMS < s.told.IntervalMS
	s.terminating = p.Terminating
	switch {
	case early && !p.Terminating:
		return kerr.ThrottlingQuotaExceeded
	case p.Subscription != s.told.ID:
		s.pushedMS = nowMS
		return kerr.UnknownSubscriptionID
	}
	s.pushedMS = nowMS
	switch {
	case p.Compression < 0 || p.Compression > int8(batch.Zstd):
		return kerr.UnsupportedCompressionType
	case len(p.Metrics) > maxBytes:
		return kerr.TelemetryTooLarge
	}
	return kerr.None
}

// goneMS is when the client is forgotten if it stays silent.
func (s *state) goneMS() int64 { return s.seenMS + max(silentMS, 3*s.told.IntervalMS) }
