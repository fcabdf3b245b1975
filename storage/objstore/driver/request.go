package driver

import "context"

// Op is a kind of request, as stores tell them apart in their bills. One call of a [Store] may make several.
type Op uint8

// The kinds of requests.
const (
	OpPut      Op = iota // a whole object
	OpCreate             // begin an upload in parts
	OpPart               // one part of it
	OpComplete           // end it: the object is there
	OpAbort              // give it up
	OpGet                // an object, or a range of it
	OpStat               // size and time of an object
	OpList               // one page of a listing
	OpDelete             // one object, or up to a thousand in one request
	OpEnd                // how many kinds there are; not one
)

var opNames = [OpEnd]string{"put", "create", "part", "complete", "abort", "get", "stat", "list", "delete"}

// String returns the name of the kind, as metrics, reports and price tables have it.
func (o Op) String() string {
	if o >= OpEnd {
		return "invalid"
	}
	return opNames[o]
}

// ParseOp is the inverse of String.
func ParseOp(s string) (o Op, ok bool) {
	for o := range OpEnd {
		if opNames[o] == s {
			return o, true
		}
	}
	return 0, false
}

// Recorder is told of requests, failed ones too.
type Recorder interface {
	// Record notes a request that carried so many bytes as its body and was answered with so many. It may be called concurrently,
	// and until the call of the Store that made the request has returned.
	Record(op Op, sent, received int64)
}

type recorderKey struct{}

type recorded struct {
	context.Context
	to Recorder
}

func (r *recorded) Value(key any) any {
	if _, ok := key.(recorderKey); ok {
		return r
	}
	return r.Context.Value(key)
}

// WithRecorder returns a context whose requests are reported to r by stores that know better than their caller which requests they make.
func WithRecorder(ctx context.Context, r Recorder) context.Context { return &recorded{ctx, r} }

// RecorderOf returns who is to be told of the requests of ctx; nil: nobody.
func RecorderOf(ctx context.Context) Recorder {
	if r, _ := ctx.Value(recorderKey{}).(*recorded); r != nil {
		return r.to
	}
	return nil
}

// How a body is cut for stores that take large ones in parts. Every request costs as much as any other, whatever it carries, so bodies go up
// whole as long as one connection is quick enough for them (uploads are put side by side anyway), and parts are as large as repeating one may cost.
const (
	WholeMax   = 128 << 20 // a body up to this goes up by one request
	partsUsual = 4         // as many as are sent at a time
	partMin    = 64 << 20
	partMax    = 128 << 20
	partsLimit = 10_000 // S3's
)

// Parts returns how a body of so many bytes goes up: whole, when count is 0, or in count parts of each bytes, the last one aside.
func Parts(size int64) (count int, each int64) {
	if size <= WholeMax {
		return 0, size
	}
	each = min(max((size+partsUsual-1)/partsUsual, partMin), partMax)
	each = max(each, (size+partsLimit-1)/partsLimit)
	return int((size + each - 1) / each), each
}
