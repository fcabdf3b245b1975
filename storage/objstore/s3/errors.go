package s3

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"sluice/base"
)

// attempt is one request: its deadline, and whether it can have reached the store.
type attempt struct {
	connected atomic.Bool
	end       context.CancelFunc
}

// newAttempt returns the context of a request that carries about the given number of bytes.
func newAttempt(ctx context.Context, bytes int64) (context.Context, *attempt) {
	a := &attempt{}
	timeout := requestTimeout + time.Duration(float64(bytes)/minBytesPerSecond*float64(time.Second))
	ctx, a.end = context.WithTimeout(ctx, timeout)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { a.connected.Store(true) }}), a
}

// wrote classifies the error of a request that makes an object visible.
func (a *attempt) wrote(err error, op, key string) error {
	if err == nil {
		return nil
	}
	kind := kindOf(err)
	switch {
	case kind != base.Unknown:
	case a.connected.Load():
		kind = base.Undetermined
	default:
		kind = base.Unavailable
	}
	return explain(kind, err, op, key)
}

// read classifies the error of a request that may be repeated whatever it did.
func (a *attempt) read(err error, op, key string) error {
	if err == nil {
		return nil
	}
	kind := kindOf(err)
	if kind == base.Unknown || kind == base.Undetermined || kind == base.Exists {
		kind = base.Unavailable
	}
	return explain(kind, err, op, key)
}

// explain gives the error its kind and, where a setting is the likely cause, names it.
func explain(kind base.Kind, err error, op, key string) error {
	hint := ""
	switch code := codeOf(err); code {
	case "NoSuchBucket":
		hint = " (does the bucket of the URL exist in that region, and is it meant to be reached with pathStyle=true?)"
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "Forbidden":
		hint = " (check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or the role, and what its policy allows)"
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "TemporaryRedirect":
		hint = " (check region= and endpoint= of the bucket URL)"
	case "RequestTimeTooSkewed":
		hint = " (the clock of this machine is wrong)"
	}
	return base.Errorf(kind, "%s %s: %w%s", op, key, err, hint)
}

// kindOf classifies an answer of the store; Unknown means that there was none, or one that says nothing for certain.
func kindOf(err error) base.Kind {
	if kind := kindOfCode(codeOf(err)); kind != base.Unknown {
		return kind
	}
	status := 0
	var response *awshttp.ResponseError
	if errors.As(err, &response) {
		status = response.HTTPStatusCode()
	}
	switch {
	case status == 412:
		return base.Exists
	case status == 409:
		return base.Undetermined
	case status == 404:
		return base.NotFound
	case status == 416:
		return base.OutOfRange
	case status == 429:
		return base.Unavailable
	case status == 408:
		return base.Undetermined
	case status >= 300 && status < 500:
		return base.Invalid
	}
	return base.Unknown
}

// kindOfCode classifies an error code of S3; Unknown means that the status decides.
func kindOfCode(code string) base.Kind {
	switch code {
	case "PreconditionFailed":
		return base.Exists
	case "ConditionalRequestConflict", "OperationAborted":
		return base.Undetermined
	case "NoSuchKey", "NotFound":
		return base.NotFound
	case "InvalidRange":
		return base.OutOfRange
	case "SlowDown", "TooManyRequests", "RequestLimitExceeded", "Throttling", "ThrottlingException", "BandwidthLimitExceeded",
		"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestTimeTooSkewed", "RequestExpired",
		"RequestTimeout", "BadDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "IncompleteBody":
		return base.Unavailable // the store did nothing and says so, and it may pass
	case "NoSuchBucket", "NotImplemented", "MethodNotAllowed":
		return base.Invalid
	}
	return base.Unknown
}

// codeOf returns the store's error code, or nothing when there was no answer.
func codeOf(err error) string {
	var api interface{ ErrorCode() string }
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}
