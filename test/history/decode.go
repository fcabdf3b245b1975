package history

import (
	"encoding/json"
	"errors"
	"fmt"
)

// what is the kind of an event.
type what uint8

const (
	noEvent what = iota
	partitionEvent
	sendEvent
	okEvent
	failEvent
	infoEvent
	pollEvent
	dirtyEvent
	finalEvent
	assignEvent
	crashEvent
	beginEvent
	endingEvent
	endEvent
	openEvent
	commitEvent
	committedEvent
	fetchEvent
	fetchedEvent
	marksEvent
	trimEvent
	faultEvent
	whatCount
)

// field is a key of an event; a set of them is a word of bits.
type field uint32

const (
	fT field = 1 << iota
	fP
	fF
	fK
	fV
	fO
	fX
	fOp
	fGen
	fSince
	fLow
	fStable
	fHigh
	fLast
	fC
	fLimit
	fIndex
	fG
	fTopic
	fName
	fIs
	fR
	fKs
)

// rule says which keys an event must have and which it may have.
type rule struct {
	name string
	must field
	may  field
}

var rules = [whatCount]rule{
	partitionEvent: {"partition", fK | fTopic | fIndex, 0},
	sendEvent:      {"send", fT | fP | fK | fV, fX},
	okEvent:        {"ok", fT | fV, fO},
	failEvent:      {"fail", fT | fV, 0},
	infoEvent:      {"info", fT | fV, 0},
	pollEvent:      {"poll", fT | fP, fX | fR},
	dirtyEvent:     {"dirty", fT | fP, fX | fR},
	finalEvent:     {"final", fT | fP, fR},
	assignEvent:    {"assign", fT | fP, fG | fGen | fKs},
	crashEvent:     {"crash", fT | fP, 0},
	beginEvent:     {"begin", fT | fX, fP | fLimit},
	endingEvent:    {"ending", fT | fX, 0},
	endEvent:       {"end", fT | fX | fIs, 0},
	openEvent:      {"open", fT | fP | fX, 0},
	commitEvent:    {"commit", fT | fP | fOp | fG | fK | fO, fX},
	committedEvent: {"committed", fT | fOp | fIs, 0},
	fetchEvent:     {"fetch", fT | fP | fOp | fG | fK, 0},
	fetchedEvent:   {"fetched", fT | fOp | fO, 0},
	marksEvent:     {"marks", fT | fP | fK, fSince | fLow | fStable | fHigh | fLast | fC},
	trimEvent:      {"trim", fT | fK | fO, 0},
	faultEvent:     {"fault", fT | fName, 0},
}

// event is one line, decoded. Its slices are used again for the next one.
type event struct {
	what what
	has  field

	t, p, k, v, o, x, op, gen, since, low, stable, high, last, c, limit, index int64

	g, topic, name string
	is             Outcome
	runs           []run
	values         []Value // of the runs, one after the other
	ks             []int64
}

// run is a row of records that a poll returned: of one partition, at consecutive offsets.
type run struct {
	partition int32
	n         int32
	first     int64
	at        int // of its values, in those of the history
}

var errSyntax = errors.New("not a JSON object of this format")

// scanner walks through one line.
type scanner struct {
	b   []byte
	pos int
}

func (s *scanner) space() {
	for s.pos < len(s.b) {
		switch s.b[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// take moves over a byte that must be next, and the space before it.
func (s *scanner) take(c byte) bool {
	if s.pos < len(s.b) && s.b[s.pos] == c {
		s.pos++
		return true
	}
	s.space()
	if s.pos < len(s.b) && s.b[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) num() (int64, bool) {
	i := s.pos
	if i < len(s.b) && (s.b[i] == ' ' || s.b[i] == '\t') {
		s.space()
		i = s.pos
	}
	negative := i < len(s.b) && s.b[i] == '-'
	if negative {
		i++
	}
	digits := i
	var n uint64
	for ; i < len(s.b); i++ {
		d := s.b[i] - '0'
		if d > 9 {
			break
		}
		n = n*10 + uint64(d)
	}
	if i == digits || i-digits > 19 || n > 1<<63-1 || i-digits > 1 && s.b[digits] == '0' {
		return 0, false
	}
	s.pos = i
	if negative {
		return -int64(n), true
	}
	return int64(n), true
}

// raw returns the bytes between two quotes.
func (s *scanner) raw() (text []byte, escaped, ok bool) {
	if !s.take('"') {
		return nil, false, false
	}
	for i := s.pos; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '"':
			text, s.pos = s.b[s.pos:i], i+1
			return text, escaped, true
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			return nil, false, false
		}
	}
	return nil, false, false
}

func (s *scanner) text() (string, bool) {
	raw, escaped, ok := s.raw()
	if !ok {
		return "", false
	}
	if !escaped {
		return string(raw), true
	}
	var out string
	err := json.Unmarshal(append(append([]byte{'"'}, raw...), '"'), &out)
	return out, err == nil
}

// decode reads one line.
func (e *event) decode(b []byte) error {
	e.what, e.has = noEvent, 0
	s := scanner{b: b}
	if !s.take('{') {
		return errSyntax
	}
	for more := true; more; more = s.take(',') {
		key, escaped, ok := s.raw()
		if !ok || escaped || !s.take(':') {
			return errSyntax
		}
		bit, err := e.member(&s, key)
		if err != nil {
			return err
		}
		if e.has&bit != 0 {
			return fmt.Errorf("key %q stands there twice", key)
		}
		e.has |= bit
	}
	if !s.take('}') {
		return errSyntax
	}
	if s.space(); s.pos != len(s.b) {
		return errSyntax
	}
	return e.complete()
}

// complete checks that an event has the keys it must have, and no others.
func (e *event) complete() error {
	if e.what == noEvent {
		return errors.New(`there is no key "f"`)
	}
	r := &rules[e.what]
	has := e.has &^ fF
	if has&r.must != r.must || has&^(r.must|r.may) != 0 {
		return fmt.Errorf("event %q has keys that it has not in this version, or lacks some", r.name)
	}
	return nil
}

// member reads the value of a key.
func (e *event) member(s *scanner, key []byte) (bit field, err error) {
	var number *int64
	var text *string
	switch string(key) {
	case "t":
		bit, number = fT, &e.t
	case "p":
		bit, number = fP, &e.p
	case "f":
		return fF, e.kind(s)
	case "k":
		bit, number = fK, &e.k
	case "v":
		bit, number = fV, &e.v
	case "o":
		bit, number = fO, &e.o
	case "x":
		bit, number = fX, &e.x
	case "r":
		return fR, e.reads(s)
	case "op":
		bit, number = fOp, &e.op
	case "gen":
		bit, number = fGen, &e.gen
	case "c":
		bit, number = fC, &e.c
	case "limit":
		bit, number = fLimit, &e.limit
	case "index":
		bit, number = fIndex, &e.index
	case "g":
		bit, text = fG, &e.g
	case "topic":
		bit, text = fTopic, &e.topic
	case "name":
		bit, text = fName, &e.name
	case "is":
		return fIs, e.outcome(s)
	case "ks":
		return fKs, e.numbers(s)
	default:
		if bit, number = e.mark(key); number == nil {
			return 0, fmt.Errorf("key %q is not known in this version", key)
		}
	}
	ok := false
	if number != nil {
		*number, ok = s.num()
	} else {
		*text, ok = s.text()
	}
	if !ok {
		return 0, fmt.Errorf("the value of %q is not what it has to be", key)
	}
	return bit, nil
}

func (e *event) mark(key []byte) (field, *int64) {
	switch string(key) {
	case "since":
		return fSince, &e.since
	case "low":
		return fLow, &e.low
	case "stable":
		return fStable, &e.stable
	case "high":
		return fHigh, &e.high
	case "last":
		return fLast, &e.last
	}
	return 0, nil
}

func (e *event) kind(s *scanner) error {
	raw, _, ok := s.raw()
	if !ok {
		return errSyntax
	}
	for w := partitionEvent; w < whatCount; w++ {
		if rules[w].name == string(raw) {
			e.what = w
			return nil
		}
	}
	return fmt.Errorf("event %q is not known in this version", raw)
}

func (e *event) outcome(s *scanner) error {
	raw, _, _ := s.raw()
	switch string(raw) {
	case "ok":
		e.is = OK
	case "fail":
		e.is = Fail
	case "info":
		e.is = Info
	default:
		return fmt.Errorf(`"is" is %q, want ok, fail or info`, raw)
	}
	return nil
}

func (e *event) numbers(s *scanner) error {
	e.ks = e.ks[:0]
	if !s.take('[') {
		return errSyntax
	}
	if s.take(']') {
		return nil
	}
	for more := true; more; more = s.take(',') {
		n, ok := s.num()
		if !ok {
			return errSyntax
		}
		e.ks = append(e.ks, n)
	}
	if !s.take(']') {
		return errSyntax
	}
	return nil
}

// reads decodes [[partition, first offset, value, value, …], …].
func (e *event) reads(s *scanner) error {
	e.runs, e.values = e.runs[:0], e.values[:0]
	if !s.take('[') {
		return errSyntax
	}
	if s.take(']') {
		return nil
	}
	for more := true; more; more = s.take(',') {
		if !s.take('[') {
			return errSyntax
		}
		k, ok := s.num()
		if !ok || k < 0 || k > 1<<31-1 || !s.take(',') {
			return errSyntax
		}
		r := run{partition: int32(k), at: len(e.values)}
		if r.first, ok = s.num(); !ok || r.first < 0 || !s.take(',') {
			return errSyntax
		}
		for also := true; also; also = s.take(',') {
			v, ok := s.num()
			if !ok {
				return errSyntax
			}
			e.values = append(e.values, Value(v))
		}
		r.n = int32(len(e.values) - r.at)
		if !s.take(']') {
			return errSyntax
		}
		e.runs = append(e.runs, r)
	}
	if !s.take(']') {
		return errSyntax
	}
	return nil
}
