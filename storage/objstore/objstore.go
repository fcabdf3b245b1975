package objstore

import (
	"context"
	"strings"

	"sluice/base"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/file"
	"sluice/storage/objstore/mem"
)

// Store is a bucket; see [driver.Store] for what each method promises.
type Store = driver.Store

// Info describes an object.
type Info = driver.Info

// PutOptions change what Put does.
type PutOptions = driver.PutOptions

// Options are what Open needs besides the URL. The zero value works, credentials aside that only the environment has.
type Options struct {
	// Getenv is the environment, in which az finds its credentials. (The client libraries of s3 and gs look there themselves.) nil: empty.
	Getenv func(string) string
}

// Open opens the bucket that url names:
//
//	file://DIR                                                   a directory, local or shared
//	mem://NAME                                                   memory of this process; equal names are one store
//	s3://BUCKET[/PREFIX][?endpoint=URL&region=R&pathStyle=true]  any S3-compatible store; more options: docs/stores.md
//	gs://BUCKET[/PREFIX]                                         Google Cloud Storage
//	az://ACCOUNT/CONTAINER[/PREFIX]                              Azure Blob Storage
//	etcd://[USER:PASSWORD@]HOST:PORT[,HOST:PORT…]/PREFIX         etcd, for the metadata log and not for data
//
// A URL that cannot be right gives an Invalid error that says what would be. Open creates the directory of a file store; it does
// not contact a store that is elsewhere: call [Probe] before relying on it. The store makes one attempt per call; package retry repeats.
func Open(ctx context.Context, url string, opt Options) (Store, error) {
	scheme, rest, found := strings.Cut(url, "://")
	switch {
	case found && scheme == "file" && rest != "" && !strings.ContainsAny(rest, "?#"):
		return openFile(rest)
	case found && scheme == "mem" && rest != "" && !strings.ContainsAny(rest, "?#/"):
		return mem.Named(rest), nil
	case found && scheme == "s3":
		return openS3(ctx, url)
	case found && scheme == "gs":
		return openGS(ctx, url)
	case found && scheme == "az":
		return openAZ(ctx, url, opt)
	case found && scheme == "etcd":
		return openEtcd(url)
	default:
		return nil, base.Errorf(base.Invalid, "bucket URL %q: want file://DIR, mem://NAME, s3://BUCKET[/PREFIX][?endpoint=URL&region=REGION&pathStyle=true], gs://BUCKET[/PREFIX], az://ACCOUNT/CONTAINER[/PREFIX] or etcd://HOST:PORT/PREFIX", redact(url))
	}
}

// openFile keeps a nil pointer from becoming a Store that is not nil.
func openFile(dir string) (Store, error) {
	s, err := file.Open(dir)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// redact drops what stands before an @, which may be a password.
func redact(url string) string {
	if _, host, found := strings.Cut(url, "@"); found {
		return "…@" + host
	}
	return url
}
