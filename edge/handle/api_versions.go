package handle

// ApiVersions (key 18), versions 0-4.
//
// An unknown version is answered with UNSUPPORTED_VERSION and a body of version 0 that holds the range of this key only, without
// looking at the request. Produce is advertised from version 0, because librdkafka before 2.11 otherwise turns compression off;
// versions 0 to 2 are refused all the same. Features are finalized only where they are implemented.

import (
	"regexp"

	"sluice/edge/kafka"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// software is what a client's name and version may look like (KIP-511).
var software = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

// feature is a feature level that this broker supports. Clients switch behaviour by them, so only what is implemented is here.
type feature struct {
	name     string
	min, max int16
}

const metadataVersion = "metadata.version"

var features = []feature{
	{metadataVersion, 7, 30},      // 3.3-IV3 to 4.3-IV0: which requests exist and what they carry
	{"group.version", 0, 1},       // 1: groups of the consumer protocol (KIP-848)
	{"share.version", 0, 1},       // 1: share groups (KIP-932)
	{"streams.version", 0, 1},     // 1: streams groups (KIP-1071)
	{"transaction.version", 0, 2}, // 2: an epoch for every transaction, partitions added by writing to them (KIP-890)
}

func (h *Handler) apiVersions(c *call, req *msg.ApiVersionsRequest) *msg.ApiVersionsResponse {
	resp := new(msg.ApiVersionsResponse)
	resp.SetDefaults()
	if c.session.begun {
		resp.ErrorCode = int16(kerr.IllegalSASLState)
		c.refuse(resp, h.opt.Security.FailureDelay, "ApiVersions amid a login")
		return nil
	}
	if c.Version >= 3 && (!software.MatchString(req.ClientSoftwareName) || !software.MatchString(req.ClientSoftwareVersion)) {
		resp.ErrorCode = int16(kerr.InvalidRequest)
		return resp
	}
	if c.Version >= 3 {
		c.SetSoftware(req.ClientSoftwareName, req.ClientSoftwareVersion)
	}
	for _, a := range msg.APIs {
		if !h.offers(a.Key) {
			continue
		}
		k := add(&resp.ApiKeys)
		k.ApiKey, k.MinVersion, k.MaxVersion = a.Key, a.Min, a.Max
		if a.Key == msg.KeyProduce {
			k.MinVersion = 0
		}
	}
	if c.Version < 3 {
		return resp
	}
	img := h.opt.Control.Image()
	for _, f := range features {
		if f.min > 0 || c.Version >= 4 { // some clients cannot read a supported feature whose lowest level is 0 (KAFKA-17492)
			s := add(&resp.SupportedFeatures)
			s.Name, s.MinVersion, s.MaxVersion = f.name, f.min, f.max
		}
		if level := featureLevel(img, f); level > 0 { // 0 is a feature that is not in use
			l := add(&resp.FinalizedFeatures)
			l.Name, l.MinVersionLevel, l.MaxVersionLevel = f.name, level, level
		}
	}
	resp.FinalizedFeaturesEpoch = int64(img.Pos())
	return resp
}

// offers reports whether this broker serves an API: clients push metrics only where somebody takes them.
func (h *Handler) offers(key int16) bool {
	return h.opt.Telemetry != nil || key != msg.KeyGetTelemetrySubscriptions && key != msg.KeyPushTelemetry
}

// unknownApiVersions answers a version that is not offered, so that any client can go on with one that is.
func (h *Handler) unknownApiVersions(r *kafka.Request) {
	row, _ := msg.Lookup(msg.KeyApiVersions)
	resp := new(msg.ApiVersionsResponse)
	resp.SetDefaults()
	resp.ErrorCode = int16(kerr.UnsupportedVersion)
	k := add(&resp.ApiKeys)
	k.ApiKey, k.MinVersion, k.MaxVersion = msg.KeyApiVersions, row.Min, row.Max
	r.Reply(kafka.Reply{Segments: [][]byte{resp.Append(nil, 0)}})
}
