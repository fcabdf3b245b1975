package gs

import (
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
	bucket, prefix string
	endpoint       string
	anonymous      bool
	storageClass   string
	kmsKey         string
	timeout        time.Duration // 0: the default
	url            string        // normalised
}

const (
	form            = "want gs://BUCKET[/PREFIX][?storageClass=CLASS&kmsKey=projects/…&timeout=30s&endpoint=URL&anonymous=true]"
	defaultEndpoint = "https://storage.googleapis.com"
)

var (
	bucketName     = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$`)
	storageClasses = []string{"STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"} // all of them can be read at once
)

// parse reads a URL. Errors are Invalid and name the part that is wrong.
func parse(raw string) (s settings, err error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "gs" || u.Opaque != "" || u.Fragment != "" {
		return s, base.Errorf(base.Invalid, "bucket URL: %s", form)
	}
	if u.User != nil {
		return s, base.Errorf(base.Invalid, "bucket URL gs://…@%s: credentials do not belong into the URL; give them by GOOGLE_APPLICATION_CREDENTIALS or a service account of the machine", u.Host)
	}
	if s.bucket = u.Host; !bucketName.MatchString(s.bucket) {
		return s, base.Errorf(base.Invalid, "bucket URL %q: bad bucket name %q; %s", raw, s.bucket, form)
	}
	if s.prefix, err = driver.CheckPrefix(raw, u.Path); err != nil {
		return s, err
	}
	values, err := driver.ParseOptions(raw, u.RawQuery, form, "endpoint", "anonymous", "storageClass", "kmsKey", "timeout")
	if err != nil {
		return s, err
	}
	if s.endpoint, err = driver.CheckEndpoint(values["endpoint"]); err != nil {
		return s, err
	}
	if s.endpoint == "" {
		s.endpoint = defaultEndpoint
	}
	if v := values["anonymous"]; v != "" {
		if s.anonymous, err = strconv.ParseBool(v); err != nil {
			return s, base.Errorf(base.Invalid, "bucket URL %q: anonymous=%q: want true or false", raw, v)
		}
	}
	if s.timeout, err = driver.ParseTimeout(raw, values["timeout"]); err != nil {
		return s, err
	}
	s.storageClass, s.kmsKey = values["storageClass"], values["kmsKey"]
	if s.storageClass != "" && !slices.Contains(storageClasses, s.storageClass) {
		return s, base.Errorf(base.Invalid, "bucket URL %q: storageClass=%q: want one of %s", raw, s.storageClass, strings.Join(storageClasses, ", "))
	}
	if s.kmsKey != "" && !strings.HasPrefix(s.kmsKey, "projects/") {
		return s, base.Errorf(base.Invalid, "bucket URL %q: kmsKey=%q: want projects/P/locations/L/keyRings/R/cryptoKeys/K", raw, s.kmsKey)
	}
	s.url = "gs://" + s.bucket + strings.TrimSuffix("/"+s.prefix, "/")
	if u.RawQuery != "" {
		s.url += "?" + u.RawQuery
	}
	return s, nil
}
