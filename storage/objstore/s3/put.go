package s3

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"sluice/base"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/request"
)

// Put implements driver.Store.
func (s *Store) Put(ctx context.Context, key string, body [][]byte, opt driver.PutOptions) error {
	if err := request.Begin(ctx, key); err != nil {
		return err
	}
	if count, _ := s.parts(driver.BodySize(body)); count > 0 {
		return s.putParts(ctx, key, body, opt)
	}
	in := &awss3.PutObjectInput{
		Bucket:         &s.bucket,
		Key:            s.key(key),
		ChecksumCRC32C: checksum(body),
		IfNoneMatch:    condition(opt),

		ServerSideEncryption: s.sse, SSEKMSKeyId: s.kmsKey, StorageClass: s.class(opt),
	}
	src := request.NewSource(body)
	defer src.Detach()
	in.Body, in.ContentLength = src, &src.Size
	ctx, a := s.newAttempt(ctx, src.Size)
	defer a.End()
	_, err := s.client.PutObject(ctx, in, unsigned)
	return a.wrote(err, "put", key)
}

func condition(opt driver.PutOptions) *string {
	if opt.IfAbsent {
		return aws.String("*")
	}
	return nil
}

func (s *Store) class(opt driver.PutOptions) types.StorageClass {
	if opt.Cold {
		return s.storageClass
	}
	return ""
}

func checksum(body [][]byte) *string {
	return aws.String(base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, request.CRC32C(body))))
}

// putParts uploads body in parts and makes them the object by one last, conditional request.
func (s *Store) putParts(ctx context.Context, key string, body [][]byte, opt driver.PutOptions) error {
	if opt.IfAbsent { // spares the upload; what counts is the condition of the last request
		if _, err := s.Stat(ctx, key); err == nil {
			return base.Errorf(base.Exists, "put %s: exists already", key)
		}
	}
	id, err := s.createUpload(ctx, key, opt)
	if err != nil {
		return err
	}
	parts, err := s.uploadParts(ctx, key, id, body)
	if err == nil {
		err = s.completeUpload(ctx, key, id, parts, opt)
	}
	if err != nil {
		s.abortUpload(ctx, key, id)
	}
	return err
}

func (s *Store) createUpload(ctx context.Context, key string, opt driver.PutOptions) (*string, error) {
	ctx, a := s.newAttempt(ctx, 0)
	defer a.End()
	out, err := s.client.CreateMultipartUpload(ctx, &awss3.CreateMultipartUploadInput{
		Bucket: &s.bucket, Key: s.key(key), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c, ChecksumType: types.ChecksumTypeComposite,
		ServerSideEncryption: s.sse, SSEKMSKeyId: s.kmsKey, StorageClass: s.class(opt),
	})
	if err != nil {
		return nil, a.read(err, "create upload of", key) // an upload without parts is harmless
	}
	if out.UploadId == nil || *out.UploadId == "" {
		return nil, base.Errorf(base.Corrupt, "put %s: the store gave no upload id", key)
	}
	return out.UploadId, nil
}

func (s *Store) uploadParts(ctx context.Context, key string, id *string, body [][]byte) ([]types.CompletedPart, error) {
	size := driver.BodySize(body)
	count, each := s.parts(size)
	parts := make([]types.CompletedPart, count)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(partsInFlight)
	for i := range parts {
		group.Go(func() error {
			piece := request.Slice(body, int64(i)*each, min(int64(i+1)*each, size))
			part, err := s.uploadPart(ctx, key, id, int32(i+1), piece)
			parts[i] = part
			return err
		})
	}
	return parts, group.Wait()
}

// uploadPart repeats a failed part a few times, because starting over costs all the others.
func (s *Store) uploadPart(ctx context.Context, key string, id *string, number int32, piece [][]byte) (types.CompletedPart, error) {
	sum := checksum(piece)
	for try := 1; ; try++ {
		etag, err := s.tryPart(ctx, key, id, number, piece, sum)
		if err == nil {
			return types.CompletedPart{ETag: etag, PartNumber: &number, ChecksumCRC32C: sum}, nil
		}
		if base.KindOf(err) != base.Unavailable || try == partAttempts || ctx.Err() != nil {
			return types.CompletedPart{}, err
		}
		pause := time.NewTimer(rand.N(100 * time.Millisecond << try))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return types.CompletedPart{}, err
		}
	}
}

func (s *Store) tryPart(ctx context.Context, key string, id *string, number int32, piece [][]byte, sum *string) (*string, error) {
	src := request.NewSource(piece)
	defer src.Detach()
	ctx, a := s.newAttempt(ctx, src.Size)
	defer a.End()
	out, err := s.client.UploadPart(ctx, &awss3.UploadPartInput{
		Bucket: &s.bucket, Key: s.key(key), UploadId: id, PartNumber: &number,
		Body: src, ContentLength: &src.Size, ChecksumCRC32C: sum, ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c,
	}, unsigned)
	if err != nil {
		return nil, a.read(err, fmt.Sprintf("put part %d of", number), key)
	}
	return out.ETag, nil
}

func (s *Store) completeUpload(ctx context.Context, key string, id *string, parts []types.CompletedPart, opt driver.PutOptions) error {
	ctx, a := s.newAttempt(ctx, int64(len(parts))*request.MinBytesPerSecond) // a store may take a second per part to join them
	defer a.End()
	_, err := s.client.CompleteMultipartUpload(ctx, &awss3.CompleteMultipartUploadInput{
		Bucket: &s.bucket, Key: s.key(key), UploadId: id, IfNoneMatch: condition(opt),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	})
	if codeOf(err) == "NoSuchUpload" {
		return base.Errorf(base.Undetermined, "put %s: the upload is gone, completed or aborted: %w", key, err)
	}
	return a.wrote(err, "complete put", key)
}

// abortUpload frees the parts. It does not undo a completed upload, and what it fails to free the bucket's rule for incomplete
// uploads does.
func (s *Store) abortUpload(ctx context.Context, key string, id *string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, _ = s.client.AbortMultipartUpload(ctx, &awss3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: s.key(key), UploadId: id})
}
