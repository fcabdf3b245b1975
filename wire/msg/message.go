package msg

import (
	"sluice/wire/kbin"
)

// Message is a request, a response, or a schema such as those of the consumer protocol.
type Message interface {
	// APIKey returns the API key, -1 for a schema that is no API.
	APIKey() int16
	// SetDefaults sets every field to its default.
	SetDefaults()
	// Decode reads the message; errors stay in the reader.
	Decode(r *kbin.Reader, version int16)
	// Append appends the message to dst.
	Append(dst []byte, version int16) []byte
}

type schema struct {
	name              string
	min, max          int16
	flexibleFrom      int16
	request, response func() Message
}

// NewRequest returns an empty request of the API, nil for a key that is not known.
func NewRequest(key int16) Message {
	if s, ok := schemaOf[key]; ok {
		return s.request()
	}
	return nil
}

// NewResponse returns an empty response of the API, nil for a key that is not known.
func NewResponse(key int16) Message {
	if s, ok := schemaOf[key]; ok {
		return s.response()
	}
	return nil
}

// Name returns Kafka's name of the API, "" for a key that is not known.
func Name(key int16) string { return schemaOf[key].name }

// IsFlexible reports whether that version of the API uses compact lengths and tagged fields.
func IsFlexible(key, version int16) bool {
	s, ok := schemaOf[key]
	return ok && version >= s.flexibleFrom
}

// RequestHeader stands before every request.
type RequestHeader struct {
	APIKey        int16
	Version       int16
	CorrelationID int32
	ClientID      *string
}

// Decode reads the header in the version that belongs to its API; for a key that is not known only the fixed part is read.
func (h *RequestHeader) Decode(r *kbin.Reader) {
	h.APIKey, h.Version, h.CorrelationID = r.Int16(), r.Int16(), r.Int32()
	if _, ok := schemaOf[h.APIKey]; !ok {
		return
	}
	h.ClientID = r.NullableString(false) // also in flexible versions, by design of KIP-482
	if IsFlexible(h.APIKey, h.Version) {
		r.Tags(nil)
	}
}

// Append appends the header.
func (h *RequestHeader) Append(dst []byte) []byte {
	dst = kbin.AppendInt16(dst, h.APIKey)
	dst = kbin.AppendInt16(dst, h.Version)
	dst = kbin.AppendInt32(dst, h.CorrelationID)
	dst = kbin.AppendNullableString(dst, false, h.ClientID)
	if IsFlexible(h.APIKey, h.Version) {
		dst = append(dst, 0)
	}
	return dst
}

// AppendResponseHeader appends the header of a response. That of ApiVersions is never flexible, so that any client can read it.
func AppendResponseHeader(dst []byte, key, version int16, correlationID int32) []byte {
	dst = kbin.AppendInt32(dst, correlationID)
	if key != KeyApiVersions && IsFlexible(key, version) {
		dst = append(dst, 0)
	}
	return dst
}

// appendSized appends what fn appends, behind its length: the form of a tagged field's value.
func appendSized(dst []byte, fn func([]byte) []byte) []byte {
	start := len(dst)
	dst = fn(dst)
	size := len(dst) - start
	n := kbin.UvarintLen(uint32(size))
	for range n {
		dst = append(dst, 0)
	}
	copy(dst[start+n:], dst[start:start+size])
	kbin.AppendUvarint(dst[:start], uint32(size))
	return dst
}

// appendRecords appends record batches behind their total length. With a Gather the batches are referenced.
func appendRecords(dst []byte, flexible bool, records [][]byte, g *kbin.Gather) []byte {
	size := 0
	for _, r := range records {
		size += len(r)
	}
	switch {
	case flexible:
		dst = kbin.AppendUvarint(dst, uint32(size+1))
	default:
		dst = kbin.AppendInt32(dst, int32(size))
	}
	if g == nil {
		for _, r := range records {
			dst = append(dst, r...)
		}
		return dst
	}
	g.SetScratch(dst)
	for _, r := range records {
		g.Ref(r)
	}
	return g.Scratch()
}

func stringOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
