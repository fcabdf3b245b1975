package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"sluice/base"
	"sluice/storage/objstore/request"
)

// attempt is one request.
type attempt struct{ *request.Attempt }

func (s *Store) newAttempt(ctx context.Context, bytes int64) (context.Context, attempt) {
	ctx, a := request.New(ctx, s.timeout, bytes)
	return ctx, attempt{a}
}

// wrote classifies the error of a request that makes an object visible.
func (a attempt) wrote(err error, op, key string) error {
	if err == nil {
		return nil
	}
	return explain(a.Wrote(kindOf(err)), err, op, key)
}

// read classifies the error of a request that may be repeated whatever it did.
func (a attempt) read(err error, op, key string) error {
	if err == nil {
		return nil
	}
	return explain(a.Read(kindOf(err)), err, op, key)
}

// explain gives the error its kind and, where a setting is the likely cause, names it.
func explain(kind base.Kind, err error, op, key string) error {
	return base.Errorf(kind, "%s %s: %w%s", op, key, err, hint(err))
}

func hint(err error) string {
	var answer http.Header
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.Response != nil && response.Response.Response != nil {
		answer = response.Response.Header
	}
	region := answer.Get("X-Amz-Bucket-Region")
	switch code := codeOf(err); {
	case code == "NoSuchBucket":
		return " (does the bucket of the URL exist in that region, and is it meant to be reached with pathStyle=true?)"
	case code == "RequestTimeTooSkewed":
		return skew(answer.Get("Date"), time.Now())
	case region != "" && (response.HTTPStatusCode() == http.StatusMovedPermanently || response.HTTPStatusCode() == http.StatusBadRequest):
		return " (the bucket is in the region " + region + ": give the bucket URL region=" + region + ")"
	case code == "PermanentRedirect", code == "AuthorizationHeaderMalformed", code == "IllegalLocationConstraintException":
		return " (check region= and endpoint= of the bucket URL)"
	case code == "InvalidAccessKeyId", code == "SignatureDoesNotMatch", code == "AccessDenied", code == "Forbidden":
		return " (check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or the role, and what its policy allows)"
	case strings.HasPrefix(code, "KMS."):
		return " (check kmsKey= of the bucket URL, and that the role may use that key: kms:GenerateDataKey and kms:Decrypt)"
	case code == "InvalidStorageClass":
		return " (check storageClass= of the bucket URL: the store does not know it)"
	}
	return ""
}

// skew says by how much this machine's clock is wrong, if the answer had a date.
func skew(date string, now time.Time) string {
	at, err := http.ParseTime(date)
	if err != nil {
		return " (the clock of this machine is wrong)"
	}
	word, off := "behind", at.Sub(now)
	if off < 0 {
		word, off = "ahead of", -off
	}
	return fmt.Sprintf(" (the clock of this machine is %v %s the store's, which allows 15 minutes: set it, best by NTP; until then requests are repeated)", off.Round(time.Second), word)
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
	case status == 307:
		return base.Unavailable // a young bucket whose name is not known everywhere: nothing happened, and it passes
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
