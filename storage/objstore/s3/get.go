package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// Get implements driver.Store.
func (s *Store) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	if err := begin(ctx, key); err != nil {
		return dst, err
	}
	if off < 0 {
		return dst, base.Errorf(base.Invalid, "get %s: negative offset %d", key, off)
	}
	if n == 0 {
		return dst, nil
	}
	callerCtx := ctx
	expected := n
	if n < 0 {
		expected = 64 << 20
	}
	ctx, a := newAttempt(ctx, expected)
	defer a.end()
	out, err := s.client.GetObject(ctx, &awss3.GetObjectInput{Bucket: &s.bucket, Key: s.key(key), Range: rangeHeader(off, n)})
	if err != nil {
		err = a.read(err, "get", key)
		if n < 0 && base.KindOf(err) == base.OutOfRange && s.endsAt(callerCtx, key, off) {
			return dst, nil
		}
		return dst, err
	}
	defer out.Body.Close()
	want, err := answeredLength(out, off, n)
	if err != nil {
		return dst, fmt.Errorf("get %s: %w", key, err)
	}
	start := len(dst)
	buf := slices.Grow(dst, int(want))[:start+int(want)]
	if _, err := io.ReadFull(out.Body, buf[start:]); err != nil {
		return dst, base.Errorf(base.Unavailable, "get %s: the answer broke off: %w", key, unexpected(err))
	}
	return buf, nil
}

// endsAt reports whether the object has exactly size bytes: S3 refuses the empty range at the end of an object.
func (s *Store) endsAt(ctx context.Context, key string, size int64) bool {
	info, err := s.Stat(ctx, key)
	return err == nil && info.Size == size
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func rangeHeader(off, n int64) *string {
	if off == 0 && n < 0 {
		return nil
	}
	h := "bytes=" + strconv.FormatInt(off, 10) + "-"
	if n > 0 {
		h += strconv.FormatInt(off+n-1, 10)
	}
	return &h
}

// answeredLength checks that an answer holds the range that was asked for, and returns its length.
func answeredLength(out *awss3.GetObjectOutput, off, n int64) (int64, error) {
	if out.ContentLength == nil || *out.ContentLength < 0 {
		return 0, base.Errorf(base.Unavailable, "the answer has no length")
	}
	length := *out.ContentLength
	if out.ContentRange == nil {
		switch {
		case off > 0 || n > 0 && length > n:
			return 0, base.Errorf(base.Unavailable, "the store ignored the range [%d, %d)", off, off+n)
		case n > 0 && length < n:
			return 0, base.Errorf(base.OutOfRange, "bytes [%d, %d) of an object of %d", off, off+n, length)
		}
		return length, nil
	}
	first, last, size, ok := parseContentRange(*out.ContentRange)
	switch {
	case !ok || first != off || last-first+1 != length:
		return 0, base.Errorf(base.Unavailable, "the store answered %d bytes as %q for the range [%d, %d)", length, *out.ContentRange, off, off+n)
	case n > 0 && length < n && last+1 == size:
		return 0, base.Errorf(base.OutOfRange, "bytes [%d, %d) of an object of %d", off, off+n, size)
	case n > 0 && length != n, n < 0 && last+1 != size:
		return 0, base.Errorf(base.Unavailable, "the store answered %q for the range [%d, %d)", *out.ContentRange, off, off+n)
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

// Stat implements driver.Store.
func (s *Store) Stat(ctx context.Context, key string) (driver.Info, error) {
	if err := begin(ctx, key); err != nil {
		return driver.Info{}, err
	}
	ctx, a := newAttempt(ctx, 0)
	defer a.end()
	out, err := s.client.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: &s.bucket, Key: s.key(key)})
	if err != nil {
		return driver.Info{}, a.read(err, "stat", key)
	}
	if out.ContentLength == nil || out.LastModified == nil {
		return driver.Info{}, base.Errorf(base.Unavailable, "stat %s: the answer lacks length or time", key)
	}
	return driver.Info{Key: key, Size: *out.ContentLength, Modified: *out.LastModified}, nil
}

func begin(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return base.Wrap(base.Unavailable, err)
	}
	return driver.CheckKey(key)
}
