package s3

import (
	"context"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"sluice/base"
	"sluice/storage/objstore/driver"
	"sluice/storage/objstore/request"
)

const (
	partsInFlight   = 4
	partAttempts    = 5
	transportBuffer = 128 << 10
	idleConnections = 256
	deleteBatch     = 1000 // S3's limit
)

// Store is a bucket, or the part of it below a prefix.
type Store struct {
	client  *awss3.Client
	bucket  string
	prefix  string // empty, or ends with a slash
	url     string
	timeout time.Duration // of a request without a body; 0: request.Timeout

	sse          types.ServerSideEncryption // empty: as the bucket has it
	kmsKey       *string                    // nil: the default key
	storageClass types.StorageClass         // of cold objects; empty: as the others
	// unordered is set for directory buckets (S3 Express), which list in no order and know no start-after.
	unordered bool
	parts     func(size int64) (count int, each int64) // driver.Parts
}

var _ driver.Store = (*Store)(nil)

// Open opens the bucket that the URL names with the credentials of the usual AWS chain: environment, shared config and profile,
// web identity, container and instance role. It does not contact the store.
func Open(ctx context.Context, rawURL string) (*Store, error) {
	s, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	opts := []func(*config.LoadOptions) error{config.WithHTTPClient(newHTTPClient(s.timeout))}
	if s.region != "" {
		opts = append(opts, config.WithRegion(s.region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, base.Errorf(base.Invalid, "bucket %s: AWS configuration (AWS_PROFILE, AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE): %w", s.url, err)
	}
	if cfg.Region == "" {
		if s.endpoint == "" {
			return nil, base.Errorf(base.Invalid, "bucket %s: no region: add ?region=… to the URL or set AWS_REGION", s.url)
		}
		cfg.Region = "us-east-1" // what stores outside of AWS call themselves
	}
	if cfg.Credentials == nil {
		return nil, base.Errorf(base.Invalid, "bucket %s: %s", s.url, credentialsHint)
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return nil, base.Errorf(base.Invalid, "bucket %s: %s: %w", s.url, credentialsHint, err)
	}
	return newStore(cfg, s), nil
}

const credentialsHint = "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run with a web identity, container or instance role"

func newStore(cfg aws.Config, s settings) *Store {
	client := awss3.NewFromConfig(cfg, func(o *awss3.Options) {
		if s.endpoint != "" {
			o.BaseEndpoint = aws.String(s.endpoint)
		}
		o.UsePathStyle = s.pathStyle
		o.Retryer = aws.NopRetryer{}
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired // puts bring their own
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired // objects bring their own
		o.ContinueHeaderThresholdBytes = -1                                       // no round trip before a body
		o.DisableLogOutputChecksumValidationSkipped = true
		o.APIOptions = append(slices.Clip(o.APIOptions), record)
	})
	st := &Store{client: client, bucket: s.bucket, prefix: s.prefix, url: s.url, timeout: s.timeout, unordered: s.express(), parts: driver.Parts,
		sse: types.ServerSideEncryption(s.sse), storageClass: types.StorageClass(s.storageClass)}
	if s.kmsKey != "" {
		st.kmsKey = &s.kmsKey
	}
	return st
}

// newHTTPClient returns a client whose connections and buffers fit many big requests at a time. It is the SDK's own, which
// knows AWS_CA_BUNDLE.
func newHTTPClient(timeout time.Duration) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout, d.KeepAlive = 5*time.Second, 15*time.Second }).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout = 5 * time.Second
			t.ResponseHeaderTimeout = max(timeout, request.Timeout)
			t.MaxIdleConns, t.MaxIdleConnsPerHost = idleConnections, idleConnections
			t.IdleConnTimeout = 60 * time.Second
			t.ReadBufferSize, t.WriteBufferSize = transportBuffer, transportBuffer
			t.DisableCompression = true
			t.ForceAttemptHTTP2 = false
		})
}

func (s *Store) String() string { return s.url }

func (s *Store) key(key string) *string { return aws.String(s.prefix + key) }

// unsigned leaves the payload out of the signature: its CRC protects it from accidents, TLS from people.
func unsigned(o *awss3.Options) {
	o.APIOptions = append(slices.Clip(o.APIOptions), v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
}
