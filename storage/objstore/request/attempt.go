package request

import (
	"context"
	"fmt"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// The defaults of an attempt's deadline.
const (
	Timeout           = 30 * time.Second
	MinBytesPerSecond = 256 << 10
)

// Attempt is one request: its deadline, and whether it can have reached the store.
type Attempt struct {
	connected atomic.Bool
	End       context.CancelFunc // frees what the deadline takes
}

// New returns the context of a request that carries about the given number of bytes; timeout 0 is Timeout.
func New(ctx context.Context, timeout time.Duration, bytes int64) (context.Context, *Attempt) {
	a := &Attempt{}
	if timeout <= 0 {
		timeout = Timeout
	}
	timeout += time.Duration(float64(bytes) / MinBytesPerSecond * float64(time.Second))
	ctx, a.End = context.WithTimeout(ctx, timeout)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { a.connected.Store(true) }}), a
}

// Wrote turns the kind of the answer to a request that makes an object visible into what is known. Unknown means that there was no
// answer, or one that says nothing for certain.
func (a *Attempt) Wrote(kind base.Kind) base.Kind {
	switch {
	case kind != base.Unknown:
		return kind
	case a.connected.Load():
		return base.Undetermined
	default:
		return base.Unavailable
	}
}

// Read does the same for a request that may be repeated whatever it did.
func (a *Attempt) Read(kind base.Kind) base.Kind {
	if kind == base.Unknown || kind == base.Undetermined || kind == base.Exists {
		return base.Unavailable
	}
	return kind
}

// Begin checks what every operation begins with.
func Begin(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return base.Wrap(base.Unavailable, err)
	}
	return driver.CheckKey(key)
}

// RangeHeader returns the value of a Range header for n bytes from off on, all of them when n is negative; empty if no header is needed.
func RangeHeader(off, n int64) string {
	if off == 0 && n < 0 {
		return ""
	}
	h := "bytes=" + strconv.FormatInt(off, 10) + "-"
	if n > 0 {
		h += strconv.FormatInt(off+n-1, 10)
	}
	return h
}

// Answered checks that an answer holds the range that was asked for, and returns its length. length and contentRange are the answer's headers;
// a negative length and an empty range are missing ones. Errors: OutOfRange, or Unavailable for an answer that cannot be.
func Answered(length int64, contentRange string, off, n int64) (int64, error) {
	if length < 0 {
		return 0, base.Errorf(base.Unavailable, "the answer has no length")
	}
	if contentRange == "" {
		switch {
		case off > 0 || n > 0 && length > n:
			return 0, base.Errorf(base.Unavailable, "the store ignored the range [%d, %d)", off, off+n)
		case n > 0 && length < n:
			return 0, base.Errorf(base.OutOfRange, "bytes [%d, %d) of an object of %d", off, off+n, length)
		}
		return length, nil
	}
	if length == 0 && contentRange == fmt.Sprintf("bytes %d-%d/%d", off, off-1, off) { // the end of the object, as Azurite says it; others refuse that range
		if n > 0 {
			return 0, base.Errorf(base.OutOfRange, "bytes [%d, %d) of an object of %d", off, off+n, off)
		}
		return 0, nil
	}
	first, last, size, ok := parseContentRange(contentRange)
	switch {
	case !ok || first != off || last-first+1 != length:
		return 0, base.Errorf(base.Unavailable, "the store answered %d bytes as %q for the range [%d, %d)", length, contentRange, off, off+n)
	case n > 0 && length < n && last+1 == size:
		return 0, base.Errorf(base.OutOfRange, "bytes [%d, %d) of an object of %d", off, off+n, size)
	case n > 0 && length != n, n < 0 && last+1 != size:
		return 0, base.Errorf(base.Unavailable, "the store answered %q for the range [%d, %d)", contentRange, off, off+n)
	}
	return length, nil
}

// parseContentRange reads "bytes 0-99/1000".
func parseContentRange(h string) (first, last, size int64, ok bool) {
	h, unit := strings.CutPrefix(h, "bytes ")
	span, total, slash := strings.Cut(h, "/")
	lo, hi, dash := strings.Cut(span, "-")
	first, err1 := strconv.ParseInt(lo, 10, 64)
	last, err2 := strconv.ParseInt(hi, 10, 64)
	size, err3 := strconv.ParseInt(total, 10, 64)
	ok = unit && slash && dash && err1 == nil && err2 == nil && err3 == nil && first >= 0 && first <= last && last < size
	return first, last, size, ok
}
