package driver

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"sluice/base"
)

// The URLs of stores that are reached by HTTP have these parts in common. All errors are Invalid.

// CheckPrefix returns the prefix of all keys that the path of the URL raw stands for: empty, or ending with a slash.
func CheckPrefix(raw, path string) (string, error) {
	prefix := strings.Trim(path, "/")
	if prefix == "" {
		return "", nil
	}
	if err := CheckKey(prefix); err != nil || len(prefix) > 200 {
		return "", base.Errorf(base.Invalid, "bucket URL %q: bad prefix %q: at most 200 bytes of printable ASCII without a space, and no component that is empty or starts with a dot", raw, prefix)
	}
	return prefix + "/", nil
}

// ParseOptions reads the parameters of the URL raw, of which those in known may occur, once each. form says for people what would be right.
func ParseOptions(raw, query, form string, known ...string) (map[string]string, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, base.Errorf(base.Invalid, "bucket URL %q: bad parameters: %v; %s", raw, err, form)
	}
	out := map[string]string{}
	for name, v := range values {
		if !slices.Contains(known, name) || len(v) != 1 {
			return nil, base.Errorf(base.Invalid, "bucket URL: parameter %q is unknown or given twice; %s", name, form)
		}
		out[name] = v[0]
	}
	return out, nil
}

// CheckEndpoint checks the address of a store, which may be empty, and drops its last slash.
func CheckEndpoint(endpoint string) (string, error) {
	endpoint = strings.TrimSuffix(endpoint, "/")
	if endpoint == "" {
		return "", nil
	}
	e, err := url.Parse(endpoint)
	if err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "" || e.User != nil || e.RawQuery != "" {
		return "", base.Errorf(base.Invalid, "bucket URL: endpoint must be http://HOST[:PORT] or https://HOST[:PORT]")
	}
	return endpoint, nil
}

// ParseTimeout reads the time that a request without a body may take; 0 if there is none.
func ParseTimeout(raw, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > 10*time.Minute {
		return 0, base.Errorf(base.Invalid, "bucket URL %q: timeout=%q: want a duration from 1s to 10m, like 30s", raw, text)
	}
	return d, nil
}
