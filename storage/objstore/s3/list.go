package s3

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"sluice/base"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/request"
)

// List implements driver.Store.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[driver.Info, error] {
	if s.unordered {
		return s.listUnordered(ctx, prefix, after)
	}
	in := &awss3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: s.key(prefix)}
	if after != "" {
		in.StartAfter = s.key(after)
	}
	return func(yield func(driver.Info, error) bool) {
		last := after
		for info, err := range s.pages(ctx, in) {
			if err == nil && info.Key <= last && last != "" {
				err = base.Errorf(base.Corrupt, "list %q: the store lists %q after %q", prefix, info.Key, last)
			}
			if !yield(info, err) || err != nil {
				return
			}
			last = info.Key
		}
	}
}

// listUnordered reads a whole listing and sorts it, for directory buckets: they list in no order, have no start-after, and take
// only prefixes that end with a slash.
func (s *Store) listUnordered(ctx context.Context, prefix, after string) iter.Seq2[driver.Info, error] {
	return func(yield func(driver.Info, error) bool) {
		full := *s.key(prefix)
		dir := full[:strings.LastIndexByte(full, '/')+1]
		in := &awss3.ListObjectsV2Input{Bucket: &s.bucket}
		if dir != "" {
			in.Prefix = &dir
		}
		var all []driver.Info
		for info, err := range s.pages(ctx, in) {
			if err != nil {
				yield(driver.Info{}, err)
				return
			}
			if strings.HasPrefix(info.Key, prefix) && info.Key > after {
				all = append(all, info)
			}
		}
		slices.SortFunc(all, func(a, b driver.Info) int { return strings.Compare(a.Key, b.Key) })
		for _, info := range all {
			if !yield(info, nil) {
				return
			}
		}
	}
}

// pages yields the objects of all pages of a listing, those that no key of ours can name left out.
func (s *Store) pages(ctx context.Context, in *awss3.ListObjectsV2Input) iter.Seq2[driver.Info, error] {
	return func(yield func(driver.Info, error) bool) {
		for {
			page, err := s.page(ctx, in)
			if err != nil {
				yield(driver.Info{}, err)
				return
			}
			for _, o := range page.Contents {
				key, inside := strings.CutPrefix(aws.ToString(o.Key), s.prefix)
				if !inside || driver.CheckKey(key) != nil {
					continue
				}
				if !yield(driver.Info{Key: key, Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)}, nil) {
					return
				}
			}
			if !aws.ToBool(page.IsTruncated) {
				return
			}
			if next := aws.ToString(page.NextContinuationToken); next == "" || next == aws.ToString(in.ContinuationToken) {
				yield(driver.Info{}, base.Errorf(base.Unavailable, "list %q: truncated without a way on", aws.ToString(in.Prefix)))
				return
			}
			again := *in
			again.ContinuationToken = page.NextContinuationToken
			in = &again
		}
	}
}

func (s *Store) page(ctx context.Context, in *awss3.ListObjectsV2Input) (*awss3.ListObjectsV2Output, error) {
	if err := ctx.Err(); err != nil {
		return nil, base.Wrap(base.Unavailable, err)
	}
	ctx, a := s.newAttempt(ctx, 0)
	defer a.End()
	page, err := s.client.ListObjectsV2(ctx, in)
	return page, a.read(err, "list", aws.ToString(in.Prefix))
}

// Delete implements driver.Store.
func (s *Store) Delete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := request.Begin(ctx, key); err != nil {
			return err
		}
	}
	for batch := range slices.Chunk(keys, deleteBatch) {
		if err := s.deleteBatch(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) deleteBatch(ctx context.Context, keys []string) error {
	ctx, a := s.newAttempt(ctx, 0)
	defer a.End()
	if len(keys) == 1 {
		_, err := s.client.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: &s.bucket, Key: s.key(keys[0])})
		if codeOf(err) == "NoSuchKey" {
			return nil
		}
		return a.read(err, "delete", keys[0])
	}
	ids := make([]types.ObjectIdentifier, len(keys))
	for i, key := range keys {
		ids[i].Key = s.key(key)
	}
	out, err := s.client.DeleteObjects(ctx, &awss3.DeleteObjectsInput{Bucket: &s.bucket, Delete: &types.Delete{Objects: ids, Quiet: aws.Bool(true)}})
	if err != nil {
		return a.read(err, fmt.Sprintf("delete %d objects from", len(keys)), keys[0])
	}
	for _, e := range out.Errors {
		if code := aws.ToString(e.Code); code != "NoSuchKey" {
			kind := kindOfCode(code)
			if kind == base.Unknown {
				kind = base.Unavailable
			}
			return base.Errorf(kind, "delete %s: %s: %s", aws.ToString(e.Key), code, aws.ToString(e.Message))
		}
	}
	return nil
}
