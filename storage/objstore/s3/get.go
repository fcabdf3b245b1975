package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"sluice/base"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/request"
)

// Get implements driver.Store.
func (s *Store) Get(ctx context.Context, key string, off, n int64, dst []byte) ([]byte, error) {
	if err := request.Begin(ctx, key); err != nil {
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
	ctx, a := s.newAttempt(ctx, expected)
	defer a.End()
	in := &awss3.GetObjectInput{Bucket: &s.bucket, Key: s.key(key)}
	if r := request.RangeHeader(off, n); r != "" {
		in.Range = &r
	}
	out, err := s.client.GetObject(ctx, in)
	if err != nil {
		err = a.read(err, "get", key)
		if n < 0 && base.KindOf(err) == base.OutOfRange && s.endsAt(callerCtx, key, off) {
			return dst, nil
		}
		return dst, err
	}
	defer out.Body.Close()
	length := int64(-1)
	if out.ContentLength != nil {
		length = *out.ContentLength
	}
	want, err := request.Answered(length, aws.ToString(out.ContentRange), off, n)
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

// Stat implements driver.Store.
func (s *Store) Stat(ctx context.Context, key string) (driver.Info, error) {
	if err := request.Begin(ctx, key); err != nil {
		return driver.Info{}, err
	}
	ctx, a := s.newAttempt(ctx, 0)
	defer a.End()
	out, err := s.client.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: &s.bucket, Key: s.key(key)})
	if err != nil {
		return driver.Info{}, a.read(err, "stat", key)
	}
	if out.ContentLength == nil || out.LastModified == nil {
		return driver.Info{}, base.Errorf(base.Unavailable, "stat %s: the answer lacks length or time", key)
	}
	return driver.Info{Key: key, Size: *out.ContentLength, Modified: *out.LastModified}, nil
}
