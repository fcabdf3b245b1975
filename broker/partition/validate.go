package partition

import (
	"encoding/binary"
	"fmt"
	"math"

	"sluice/base"
	"sluice/broker/topicconfig"
	"sluice/wire/batch"
	"sluice/wire/kerr"
)

// prepared is a batch that may be appended: everything that needs no lock is done.
type prepared struct {
	batch         batch.Batch
	count         int32
	logAppendTime int64
	flags         uint8
	info          batchInfo // all but the offsets
}

// recordErrorsMax bounds how many refused records of one batch are named.
const recordErrorsMax = 100

// prepare parses, checks and stamps a batch. A refusal is the whole answer.
func (p *Partition) prepare(req *AppendRequest, nowMS int64) (prepared, *AppendResult) {
	cfg := p.Config()
	b, err := onlyBatch(req.Batch, req.Version)
	if err != nil {
		res := failure(err)
		res.unread = true
		return prepared{}, &res
	}
	if err = check(b); err == nil && req.Origin == Client {
		err = checkClient(b, req)
	}
	if err == nil {
		err = checkSize(b, cfg)
	}
	if err != nil {
		res := failure(err)
		return prepared{}, &res
	}
	out := prepared{batch: b, count: b.NumRecords(), logAppendTime: -1}
	if refusal := p.checkRecords(req, b, cfg, nowMS); refusal != nil {
		return prepared{}, refusal
	}
	if req.Origin == Client {
		if out.batch, err = p.recompress(b, cfg); err != nil {
			res := failure(err)
			return prepared{}, &res
		}
	}
	switch {
	case b.IsControl():
	case cfg.LogAppendTime:
		out.batch.SetLogAppendTime(nowMS)
		out.logAppendTime = nowMS
	case b.TimestampType() == batch.LogAppendTime: // not the producer's to say
		out.batch.SetCreateTime()
	}
	out.batch.SetLeaderEpoch(int32(p.opt.Epoch))
	out.info = infoOf(out.batch)
	out.info.guard, out.info.v2 = req.Guard, req.TransactionVersion >= 2
	return out, nil
}

// check checks CRC and structure.
func check(b batch.Batch) *kerr.Error {
	if err := b.Check(); err != nil {
		return refusedBytes(err)
	}
	if b.NumRecords() == 0 || b.LastOffsetDelta() != b.NumRecords()-1 {
		return kerr.Errorf(kerr.InvalidRecord, "%d records do not fill the offsets 0 to %d", b.NumRecords(), b.LastOffsetDelta())
	}
	return nil
}

// onlyBatch finds the one batch in raw. As in Kafka, a batch that is not all there counts as none, and bytes that are left over do no
// harm, unless they are enough to say that they are no batch.
func onlyBatch(raw []byte, version int16) (batch.Batch, *kerr.Error) {
	if what := peek(raw); what != aBatch {
		return batch.Batch{}, what.refused("there is no record batch for the partition")
	}
	b, rest, err := batch.Parse(raw)
	if err != nil {
		return b, refusedBytes(err)
	}
	if err := checkCodec(b, version); err != nil {
		return b, err
	}
	if what := peek(rest); what != nothing {
		return b, what.refused(fmt.Sprintf("there must be exactly one record batch per partition, %d bytes follow the first", len(rest)))
	}
	return b, nil
}

// peeked is what bytes are that stand where a batch may begin.
type peeked uint8

const (
	nothing peeked = iota // too short for the size they tell, or to tell one
	noBatch               // no format of records that there ever was
	aBatch
)

// Where every format of records has its size and its number, and the least size that one of them can have.
const (
	sizeAt, sizeEnd = 8, 12
	sizeMin         = 14
	magicAt         = 16
)

func peek(raw []byte) peeked {
	if len(raw) < sizeEnd {
		return nothing
	}
	size := int64(int32(binary.BigEndian.Uint32(raw[sizeAt:])))
	switch {
	case size < sizeMin:
		return noBatch
	case len(raw) <= magicAt:
		return nothing
	case raw[magicAt] > 2:
		return noBatch
	case size+sizeEnd > int64(len(raw)):
		return nothing
	}
	return aBatch
}

func (p peeked) refused(text string) *kerr.Error {
	if p == noBatch {
		return kerr.Errorf(kerr.CorruptMessage, "what should be a record batch is none")
	}
	return kerr.Errorf(kerr.InvalidRecord, "%s", text)
}

// CheckRequest says what is wrong with the records of a Produce before anybody asks what they are part of, as in Kafka: there has to be one batch, in
// a codec that the version of the request has.
func CheckRequest(records []byte, version int16) *kerr.Error {
	_, err := onlyBatch(records, version)
	return err
}

func checkCodec(b batch.Batch, version int16) *kerr.Error {
	if b.Codec() == batch.Zstd && version > 0 && version < 7 {
		return kerr.Errorf(kerr.UnsupportedCompressionType, "zstd needs Produce version 7, the request has %d", version)
	}
	return nil
}

// checkClient refuses what only the broker may write.
func checkClient(b batch.Batch, req *AppendRequest) *kerr.Error {
	switch {
	case b.IsControl():
		return kerr.Errorf(kerr.InvalidRecord, "clients may not write control records")
	case b.BaseOffset() != 0:
		return kerr.Errorf(kerr.InvalidRecord, "the base offset of a batch that is to be appended should be 0, it is %d", b.BaseOffset())
	case b.ProducerID() >= 0 && (b.BaseSequence() < 0 || b.ProducerEpoch() < 0):
		return kerr.Errorf(kerr.InvalidRecord, "producer id %d comes with sequence %d and epoch %d", b.ProducerID(), b.BaseSequence(), b.ProducerEpoch())
	case b.ProducerID() < 0 && b.IsTransactional():
		return kerr.Errorf(kerr.InvalidRecord, "a transactional batch needs a producer id")
	case b.IsTransactional() && !req.Transactional:
		return kerr.Errorf(kerr.TransactionalIDAuthorizationFailed, "a transactional batch comes without a transaction")
	}
	return nil
}

func checkSize(b batch.Batch, cfg *topicconfig.Config) *kerr.Error {
	n := len(b.Bytes())
	if n > int(cfg.MaxMessageBytes) {
		return kerr.Errorf(kerr.MessageTooLarge, "the record batch has %d bytes, max.message.bytes is %d", n, cfg.MaxMessageBytes)
	}
	if n > int(cfg.SegmentBytes) {
		return kerr.Errorf(kerr.RecordListTooLarge, "the record batch has %d bytes, segment.bytes is %d", n, cfg.SegmentBytes)
	}
	return nil
}

// timeBounds are the limits of a record's timestamp.
type timeBounds struct{ min, max int64 }

func boundsOf(cfg *topicconfig.Config, nowMS int64) timeBounds {
	t := timeBounds{math.MinInt64, math.MaxInt64}
	if cfg.LogAppendTime {
		return t
	}
	if cfg.TimestampBeforeMaxMS <= nowMS {
		t.min = nowMS - cfg.TimestampBeforeMaxMS
	}
	if cfg.TimestampAfterMaxMS <= math.MaxInt64-nowMS {
		t.max = nowMS + cfg.TimestampAfterMaxMS
	}
	return t
}

// has reports whether a record may carry ts; batch.NoTimestamp (-1) always may.
func (t timeBounds) has(ts int64) bool { return ts == -1 || t.min <= ts && ts <= t.max }

// checkRecords looks at the records: their timestamps, and their keys where the topic is compacted.
//
// Opening a compressed batch is what costs a broker most, so it is done only where the header cannot tell: the header has the first and
// the largest timestamp, which answers for the upper bound; the lower bound (off by default) and keys need the records. So does a largest timestamp
// below the first one: some clients do not set it (sarama before 1.44), and time lookups and retention go by it.
func (p *Partition) checkRecords(req *AppendRequest, b batch.Batch, cfg *topicconfig.Config, nowMS int64) *AppendResult {
	if b.IsControl() || req.Origin != Client {
		return nil
	}
	bounds := boundsOf(cfg, nowMS)
	compressed := b.Codec() != batch.None
	told := cfg.LogAppendTime || b.MaxTimestamp() >= b.FirstTimestamp()
	if compressed && told && !cfg.Compact && bounds.min == math.MinInt64 && bounds.has(b.MaxTimestamp()) && bounds.has(b.FirstTimestamp()) {
		return nil
	}
	return p.walk(b, cfg, bounds)
}

// walk checks every record.
func (p *Partition) walk(b batch.Batch, cfg *topicconfig.Config, bounds timeBounds) *AppendResult {
	var bad []RecordError
	late, maxTS, i := false, int64(-1), int32(0)
	for r, err := range b.Records(batch.Shared) {
		switch {
		case err != nil:
			res := failure(refusedBytes(err))
			return &res
		case r.OffsetDelta != i:
			res := failure(kerr.Errorf(kerr.InvalidRecord, "record %d has offset delta %d", i, r.OffsetDelta))
			return &res
		case cfg.Compact && r.Key == nil:
			bad = append(bad, RecordError{i, fmt.Sprintf("the record has no key, and %s is compacted by key", p.opt.Name)})
		case !bounds.has(r.Timestamp):
			late = true
			bad = append(bad, RecordError{i, fmt.Sprintf("timestamp %d is not within [%d, %d]", r.Timestamp, bounds.min, bounds.max)})
		}
		maxTS = max(maxTS, r.Timestamp)
		i++
	}
	if len(bad) > 0 {
		res := failure(kerr.Errorf(kerr.InvalidRecord, "One or more records have been rejected: %d of %d; nothing was appended", len(bad), i))
		if late {
			res = failure(kerr.Errorf(kerr.InvalidTimestamp, "One or more records have been rejected due to invalid timestamp"))
		}
		res.RecordErrors = bad[:min(len(bad), recordErrorsMax)]
		return &res
	}
	if !cfg.LogAppendTime && maxTS != b.MaxTimestamp() {
		b.SetMaxTimestamp(maxTS)
	}
	return nil
}

// infoOf reads what the producer state needs from a batch; the offsets are those in its header.
func infoOf(b batch.Batch) batchInfo {
	i := batchInfo{
		producerID:    b.ProducerID(),
		epoch:         b.ProducerEpoch(),
		firstSeq:      b.BaseSequence(),
		lastSeq:       b.LastSequence(),
		base:          base.Offset(b.BaseOffset()),
		last:          base.Offset(b.LastOffset()),
		maxTimestamp:  b.MaxTimestamp(),
		transactional: b.IsTransactional(),
	}
	if m, ok := b.Marker(); ok {
		i.marker, i.commit, i.coordinator = true, m.Commit, m.CoordinatorEpoch
	}
	return i
}
