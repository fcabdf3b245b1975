//go:build !wasip1

package objstore

import (
	"context"

	"sluice/storage/objstore/az"
	"sluice/storage/objstore/etcd"
	"sluice/storage/objstore/gs"
	"sluice/storage/objstore/s3"
)

// A nil pointer must not become a Store that is not nil.

func openGS(ctx context.Context, url string) (Store, error) {
	s, err := gs.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func openAZ(ctx context.Context, url string, opt Options) (Store, error) {
	s, err := az.Open(ctx, url, opt.Getenv)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func openS3(ctx context.Context, url string) (Store, error) {
	s, err := s3.Open(ctx, url)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func openEtcd(url string) (Store, error) {
	s, err := etcd.Open(url)
	if err != nil {
		return nil, err
	}
	return s, nil
}
