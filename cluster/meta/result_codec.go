package meta

import (
	"fmt"
	"unicode/utf8"

	"sluice/base"
)

type resultType uint8

// Types of results, as they travel between processes. A number is never used again for something else.
const (
	typeDone resultType = iota + 1
	typeRegistered
	typeGranted
	typeTopicsCreated
	typeTopicsDeleted
	typeOutcomes
	typeOpenedResult
	typePreparedResult
	typeUploadDone
	typeProducerIDs
	typeWorked
	typeCompactionDone
	typeVolumeAddedResult
	resultTypes // one past the last
)

const rejectionVersion = 1

// version is the newest version of a type, the one that is written. Older ones are read.
func (t resultType) version() uint8 {
	if t == typeOpenedResult {
		return 2
	}
	return 1
}

func newResult(t resultType) Result {
	switch t {
	case typeDone:
		return &Done{}
	case typeRegistered:
		return &Registered{}
	case typeGranted:
		return &Granted{}
	case typeTopicsCreated:
		return &TopicsCreated{}
	case typeTopicsDeleted:
		return &TopicsDeleted{}
	case typeOutcomes:
		return &Outcomes{}
	case typeOpenedResult:
		return &PartitionsOpened{}
	case typePreparedResult:
		return &ObjectsPrepared{}
	case typeUploadDone:
		return &UploadDone{}
	case typeProducerIDs:
		return &ProducerIDs{}
	case typeWorked:
		return &Worked{}
	case typeCompactionDone:
		return &CompactionDone{}
	case typeVolumeAddedResult:
		return &VolumeAdded{}
	}
	return nil
}

func (*Done) resultType() resultType             { return typeDone }
func (*Registered) resultType() resultType       { return typeRegistered }
func (*Granted) resultType() resultType          { return typeGranted }
func (*TopicsCreated) resultType() resultType    { return typeTopicsCreated }
func (*TopicsDeleted) resultType() resultType    { return typeTopicsDeleted }
func (*Outcomes) resultType() resultType         { return typeOutcomes }
func (*PartitionsOpened) resultType() resultType { return typeOpenedResult }
func (*ObjectsPrepared) resultType() resultType  { return typePreparedResult }
func (*UploadDone) resultType() resultType       { return typeUploadDone }
func (*ProducerIDs) resultType() resultType      { return typeProducerIDs }
func (*Worked) resultType() resultType           { return typeWorked }
func (*CompactionDone) resultType() resultType   { return typeCompactionDone }

// AppendResult appends the encoding of r, with the rejections in it, to dst.
func AppendResult(dst []byte, r Result) []byte {
	return appendFrame(dst, uint8(r.resultType()), r.resultType().version(), r.code)
}

// DecodeResult decodes one result, which must be all of b and is not aliased. Errors have kind Corrupt.
func DecodeResult(b []byte) (Result, error) {
	typ, version, body, rest, err := cutFrame(b)
	if err != nil {
		return nil, err
	}
	r := newResult(resultType(typ))
	if r == nil || len(rest) > 0 {
		return nil, base.Errorf(base.Corrupt, "result of type %d with %d bytes behind it", typ, len(rest))
	}
	if err := decodeBody(fmt.Sprintf("%T", r)[len("*meta."):], body, version, resultType(typ).version(), r.code); err != nil {
		return nil, err
	}
	return r, nil
}

// AppendRejection appends the encoding of r, which may be nil, to dst. A very long message is cut.
func AppendRejection(dst []byte, r *Rejection) []byte {
	c := coder{buf: append(dst, rejectionVersion), version: rejectionVersion}
	c.rejection(&r)
	return c.buf
}

// DecodeRejection decodes a rejection, nil if nil was encoded, which must be all of b. Errors have kind Corrupt.
func DecodeRejection(b []byte) (*Rejection, error) {
	if len(b) == 0 {
		return nil, base.Errorf(base.Corrupt, "rejection is empty")
	}
	var r *Rejection
	err := decodeBody("rejection", b[1:], b[0], rejectionVersion, func(c *coder) { c.rejection(&r) })
	if err != nil {
		return nil, err
	}
	return r, nil
}

// messageMax bounds the message of an encoded rejection: it may quote what a client sent.
const messageMax = 1024

// rejection codes the number of the code and, unless that is None, which stands for nil, the message. Codes that this program does not
// know are kept: the message says what they mean.
func (c *coder) rejection(p **Rejection) {
	var r Rejection
	if *p != nil {
		r = **p
	}
	code := uint8(r.Code)
	c.uint8(&code)
	if *p = nil; code == uint8(None) {
		return
	}
	r.Code, r.Message = RejectCode(code), cutText(r.Message, messageMax)
	c.string(&r.Message)
	r.Message = cutText(r.Message, messageMax)
	if c.err == nil {
		*p = &r
	}
}

// cutText returns at most n bytes of s, whole characters.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func (*Done) code(*coder) {}

func (r *Registered) code(c *coder) { c.nodeRef(&r.Node) }
func (r *Granted) code(c *coder)    { c.rescue(&r.Rescue) }

func (r *TopicsCreated) code(c *coder) {
	list(c, &r.Topics, 18, func(t *TopicCreatedResult) {
		c.string(&t.Name)
		c.uuid(&t.ID)
		c.rejection(&t.Err)
	})
}

func (r *TopicsDeleted) code(c *coder) {
	list(c, &r.Topics, 18, func(t *TopicDeletedResult) {
		c.topicRef(&t.Topic)
		c.rejection(&t.Err)
	})
}

func (r *Outcomes) code(c *coder) { list(c, &r.Errs, 1, c.rejection) }

func (r *PartitionsOpened) code(c *coder) {
	list(c, &r.Partitions, 1, func(o *OpenedPartition) {
		if c.rejection(&o.Err); o.Err == nil {
			o.code(c)
		}
	})
}

func (o *OpenedPartition) code(c *coder) {
	p := &o.Partition
	c.uuid(&p.Topic)
	unsigned(c, &p.Index)
	signed(c, &p.Leader)
	signed(c, &p.LeaderEpoch)
	enum(c, &p.State, Serving)
	signed(c, &p.Target)
	unsigned(c, &p.Data)
	unsigned(c, &p.Meta)
	list(c, &p.EpochStarts, 2, func(e *EpochStart) {
		unsigned(c, &e.Epoch)
		unsigned(c, &e.Start)
	})
	for _, s := range [...]*Stream{&o.Data, &o.Meta} {
		signed(c, &s.Owner)
		signed(c, &s.OwnerEpoch)
		signed(c, &s.Epoch)
		enum(c, &s.State, Open)
		unsigned(c, &s.Start)
		unsigned(c, &s.CommittedEnd)
		unsigned(c, &s.Bytes)
		if c.version >= 2 {
			unsigned(c, &s.CleanedTo)
		}
		unsigned(c, &s.topicNum)
	}
	if c.reading {
		o.Data.ID, o.Data.Topic, o.Data.Partition = p.Data, p.Topic, p.Index
		o.Meta.ID, o.Meta.Topic, o.Meta.Partition = p.Meta, p.Topic, p.Index
	}
}

func (r *ObjectsPrepared) code(c *coder) {
	unsigned(c, &r.First)
	signed(c, &r.Count)
}

func (r *UploadDone) code(c *coder) {
	c.bool(&r.Duplicate)
	list(c, &r.Verdicts, 1, func(v *Verdict) { enum(c, v, VerdictDeleted) })
}

func (r *CompactionDone) code(c *coder) {
	c.bool(&r.Duplicate)
	list(c, &r.Verdicts, 1, func(v *CompactVerdict) { enum(c, v, CompactChanged) })
}

func (r *ProducerIDs) code(c *coder) {
	signed(c, &r.First)
	signed(c, &r.Count)
}

func (r *Worked) code(c *coder) {
	n := int64(r.Items)
	signed(c, &n)
	r.Items = int(n)
}
