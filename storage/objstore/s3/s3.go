package s3

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

const (
	partsInFlight     = 4
	partAttempts      = 5
	requestTimeout    = 30 * time.Second
	minBytesPerSecond = 256 << 10
	transportBuffer   = 128 << 10
	idleConnections   = 256
	deleteBatch       = 1000 // S3's limit
)

// Store is a bucket, or the part of it below a prefix.
type Store struct {
	client *awss3.Client
	bucket string
	prefix string // empty, or ends with a slash
	url    string
	// unordered is set for directory buckets (S3 Express), which list in no order and know no start-after.
	unordered bool
}

var _ driver.Store = (*Store)(nil)

// settings is what a URL says.
type settings struct {
	bucket, prefix   string
	endpoint, region string
	pathStyle        bool
	url              string // normalised
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

const form = "want s3://BUCKET[/PREFIX][?endpoint=URL&region=REGION&pathStyle=true|false]"

// parse reads a URL. Errors are Invalid, name the part that is wrong and never repeat a credential.
func parse(raw string) (settings, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "s3" || u.Opaque != "" || u.Fragment != "" {
		return settings{}, base.Errorf(base.Invalid, "bucket URL: %s", form)
	}
	if u.User != nil {
		return settings{}, base.Errorf(base.Invalid, "bucket URL s3://…@%s: credentials do not belong into the URL; give them by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role", u.Host)
	}
	s := settings{bucket: u.Host, prefix: strings.Trim(u.Path, "/")}
	if !bucketName.MatchString(s.bucket) {
		return settings{}, base.Errorf(base.Invalid, "bucket URL %q: bad bucket name %q; %s", raw, s.bucket, form)
	}
	if s.prefix != "" {
		if err := driver.CheckKey(s.prefix); err != nil || len(s.prefix) > 200 {
			return settings{}, base.Errorf(base.Invalid, "bucket URL %q: bad prefix %q: at most 200 bytes of printable ASCII without a space, and no component that is empty or starts with a dot", raw, s.prefix)
		}
		s.prefix += "/"
	}
	if err := s.parseQuery(raw, u.RawQuery); err != nil {
		return settings{}, err
	}
	s.url = "s3://" + s.bucket + strings.TrimSuffix("/"+s.prefix, "/")
	if u.RawQuery != "" {
		s.url += "?" + u.RawQuery
	}
	return s, nil
}

func (s *settings) parseQuery(raw, query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return base.Errorf(base.Invalid, "bucket URL %q: bad parameters: %v; %s", raw, err, form)
	}
	for name, v := range values {
		if !slices.Contains([]string{"endpoint", "region", "pathStyle"}, name) || len(v) != 1 {
			return base.Errorf(base.Invalid, "bucket URL: parameter %q is unknown or given twice; %s", name, form)
		}
	}
	s.region = values.Get("region")
	s.endpoint = strings.TrimSuffix(values.Get("endpoint"), "/")
	if s.endpoint != "" {
		e, err := url.Parse(s.endpoint)
		if err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "" || e.User != nil || e.RawQuery != "" {
			return base.Errorf(base.Invalid, "bucket URL: endpoint must be http://HOST[:PORT] or https://HOST[:PORT]")
		}
		// An address has no subdomains for bucket names.
		s.pathStyle = net.ParseIP(e.Hostname()) != nil || e.Hostname() == "localhost"
	}
	if v := values.Get("pathStyle"); v != "" {
		if s.pathStyle, err = strconv.ParseBool(v); err != nil {
			return base.Errorf(base.Invalid, "bucket URL %q: pathStyle=%q: want true or false", raw, v)
		}
	}
	return nil
}

// Open opens the bucket that the URL names with the credentials of the usual AWS chain: environment, shared config and profile,
// web identity, container and instance role. It does not contact the store.
func Open(ctx context.Context, rawURL string) (*Store, error) {
	s, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	opts := []func(*config.LoadOptions) error{config.WithHTTPClient(newHTTPClient())}
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
	return &Store{client: client, bucket: s.bucket, prefix: s.prefix, url: s.url, unordered: strings.HasSuffix(s.bucket, "--x-s3")}
}

// newHTTPClient returns a client whose connections and buffers fit many big requests at a time. It is the SDK's own, which
// knows AWS_CA_BUNDLE.
func newHTTPClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout, d.KeepAlive = 5*time.Second, 15*time.Second }).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout = 5 * time.Second
			t.ResponseHeaderTimeout = requestTimeout
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
