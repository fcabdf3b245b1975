package s3

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// settings is what a URL says.
type settings struct {
	bucket, prefix   string
	endpoint, region string
	pathStyle        bool
	sse, kmsKey      string
	storageClass     string
	timeout          time.Duration // 0: the default
	url              string        // normalised
}

// express reports whether the bucket is a directory bucket (S3 Express One Zone).
func (s *settings) express() bool { return strings.HasSuffix(s.bucket, "--x-s3") }

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

const form = "want s3://BUCKET[/PREFIX][?endpoint=URL&region=REGION&pathStyle=true|false&sse=AES256|aws:kms|aws:kms:dsse&kmsKey=KEY&storageClass=CLASS&timeout=30s]"

// What the options take. Classes that have to be restored before they can be read are not among them.
var (
	encryptions    = []string{"AES256", "aws:kms", "aws:kms:dsse"}
	storageClasses = []string{"STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "REDUCED_REDUNDANCY"}
)

// parse reads a URL. Errors are Invalid, name the part that is wrong and never repeat a credential.
func parse(raw string) (settings, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "s3" || u.Opaque != "" || u.Fragment != "" {
		return settings{}, base.Errorf(base.Invalid, "bucket URL: %s", form)
	}
	if u.User != nil {
		return settings{}, base.Errorf(base.Invalid, "bucket URL s3://…@%s: credentials do not belong into the URL; give them by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role", u.Host)
	}
	s := settings{bucket: u.Host}
	if !bucketName.MatchString(s.bucket) {
		return settings{}, base.Errorf(base.Invalid, "bucket URL %q: bad bucket name %q; %s", raw, s.bucket, form)
	}
	if s.prefix, err = driver.CheckPrefix(raw, u.Path); err != nil {
		return settings{}, err
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
	values, err := driver.ParseOptions(raw, query, form, "endpoint", "region", "pathStyle", "sse", "kmsKey", "storageClass", "timeout")
	if err != nil {
		return err
	}
	s.region = values["region"]
	if s.endpoint, err = driver.CheckEndpoint(values["endpoint"]); err != nil {
		return err
	}
	if e, err := url.Parse(s.endpoint); err == nil && s.endpoint != "" {
		// An address has no subdomains for bucket names.
		s.pathStyle = net.ParseIP(e.Hostname()) != nil || e.Hostname() == "localhost"
	}
	if v := values["pathStyle"]; v != "" {
		if s.pathStyle, err = strconv.ParseBool(v); err != nil {
			return base.Errorf(base.Invalid, "bucket URL %q: pathStyle=%q: want true or false", raw, v)
		}
	}
	if s.timeout, err = driver.ParseTimeout(raw, values["timeout"]); err != nil {
		return err
	}
	s.sse, s.kmsKey, s.storageClass = values["sse"], values["kmsKey"], values["storageClass"]
	return s.checkPuts(raw)
}

// checkPuts checks the options that only concern puts.
func (s *settings) checkPuts(raw string) error {
	switch {
	case s.sse != "" && !slices.Contains(encryptions, s.sse):
		return base.Errorf(base.Invalid, "bucket URL %q: sse=%q: want %s", raw, s.sse, strings.Join(encryptions, ", "))
	case s.kmsKey != "" && !strings.HasPrefix(s.sse, "aws:kms"):
		return base.Errorf(base.Invalid, "bucket URL %q: kmsKey needs sse=aws:kms or sse=aws:kms:dsse", raw)
	case s.storageClass != "" && !slices.Contains(storageClasses, s.storageClass):
		return base.Errorf(base.Invalid, "bucket URL %q: storageClass=%q: want one that can be read at once: %s", raw, s.storageClass, strings.Join(storageClasses, ", "))
	case s.storageClass != "" && s.express():
		return base.Errorf(base.Invalid, "bucket URL %q: a directory bucket has one storage class only; drop storageClass", raw)
	}
	return nil
}
