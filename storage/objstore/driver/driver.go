package driver

import (
	"context"
	"iter"
	"strings"
	"time"

	"sluice/base"
)

// Info describes an object.
type Info struct {
	Key      string
	Size     int64     // bytes
	Modified time.Time // by the store's clock
}

// PutOptions change what Put does.
type PutOptions struct {
	// IfAbsent makes the put fail with kind Exists when the key is taken.
	IfAbsent bool
	// Cold says that the object is large, old and seldom read: a store whose URL names a storage class (or access tier) for such objects puts
	// it there. Such classes bill each object for a month or so and each read of it, so nothing small or short-lived belongs into them.
	Cold bool
}

// Store is a bucket. Keys are slash-separated, see [CheckKey]. All methods are safe for concurrent use. Errors have these kinds
// of package base:
//
//	Exists        a put with IfAbsent found the key taken; possibly by its own earlier attempt
//	NotFound      the object does not exist
//	OutOfRange    the object is shorter than what was asked for
//	Unavailable   throttled, unreachable, interrupted: no effect, or one that is harmless to repeat; may be retried
//	Undetermined  only from Put: it may have happened, or may still happen; repeating the same put is the only safe thing
//	Corrupt       the store answered with something that cannot be
//	Invalid       the request can never succeed as it stands: a bad key, wrong credentials, a bucket that does not exist
//	Closed        the store was shut down
type Store interface {
	// Put stores the concatenation of body under key, atomically, replacing what is there unless opt says otherwise. It does
	// not look at body after it has returned.
	Put(ctx context.Context, key string, body [][]byte, opt PutOptions) error
	// Get appends n bytes from offset off of the object to dst, or all from off when n is negative, and returns the extended
	// slice. On error the slice returned is dst. Reading zero bytes does no request.
	Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error)
	// Stat describes the object.
	Stat(ctx context.Context, key string) (Info, error)
	// List yields the objects whose key starts with prefix and is greater than after, ascending. An error ends it. Objects put
	// or deleted while it runs may or may not be seen.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]
	// Delete removes the objects; those that do not exist count as removed. After an error, any of them may be gone.
	Delete(ctx context.Context, keys ...string) error
	// String returns the URL that opens the store, without credentials.
	String() string
}

// MaxKey is the greatest length of a key in bytes; with it and a prefix S3's limit of 1024 is kept.
const MaxKey = 768

// CheckKey returns an Invalid error unless every store can hold key: 1 to MaxKey bytes of printable ASCII, in non-empty
// components separated by slashes, none of which starts with a dot or is longer than 200 bytes. No key may be a proper
// component-wise prefix of another one (a store on a file system could not hold both).
func CheckKey(key string) error {
	if key == "" || len(key) > MaxKey {
		return base.Errorf(base.Invalid, "key %.80q: has %d bytes, want 1 to %d", key, len(key), MaxKey)
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part[0] == '.' || len(part) > 200 {
			return base.Errorf(base.Invalid, "key %.80q: a component is empty, longer than 200 bytes or starts with a dot", key)
		}
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' || key[i] == '\\' {
			return base.Errorf(base.Invalid, "key %.80q: byte %#02x is not allowed", key, key[i])
		}
	}
	return nil
}

// BodySize returns the number of bytes in body.
func BodySize(body [][]byte) int64 {
	n := int64(0)
	for _, b := range body {
		n += int64(len(b))
	}
	return n
}
