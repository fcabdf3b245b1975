package az

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

// settings is what a URL says.
type settings struct {
	account, container, prefix string
	endpoint                   string // up to the container, without a slash at the end
	tier                       string
	timeout                    time.Duration // 0: the default
	url                        string        // normalised
}

const form = "want az://ACCOUNT/CONTAINER[/PREFIX][?tier=Hot|Cool|Cold&timeout=30s&endpoint=URL]"

var (
	accountName   = regexp.MustCompile(`^[a-z0-9]{3,24}$`)
	containerName = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9]){2,62}$`)
	tiers         = []string{"Hot", "Cool", "Cold"} // Archive cannot be read at once
)

// parse reads a URL. Errors are Invalid and name the part that is wrong.
func parse(raw string) (s settings, err error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "az" || u.Opaque != "" || u.Fragment != "" {
		return s, base.Errorf(base.Invalid, "bucket URL: %s", form)
	}
	if u.User != nil {
		return s, base.Errorf(base.Invalid, "bucket URL az://…@%s: credentials do not belong into the URL; give them by AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or an identity", u.Host)
	}
	container, prefix, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	s.account, s.container = u.Host, container
	if !accountName.MatchString(s.account) || !containerName.MatchString(s.container) {
		return s, base.Errorf(base.Invalid, "bucket URL %q: bad account %q or container %q; %s", raw, s.account, s.container, form)
	}
	if s.prefix, err = driver.CheckPrefix(raw, prefix); err != nil {
		return s, err
	}
	values, err := driver.ParseOptions(raw, u.RawQuery, form, "endpoint", "tier", "timeout")
	if err != nil {
		return s, err
	}
	if s.endpoint, err = driver.CheckEndpoint(values["endpoint"]); err != nil {
		return s, err
	}
	if s.endpoint == "" {
		s.endpoint = "https://" + s.account + ".blob.core.windows.net"
	} else if e, _ := url.Parse(s.endpoint); net.ParseIP(e.Hostname()) != nil || e.Hostname() == "localhost" {
		s.endpoint += "/" + s.account // an address has no subdomains for accounts
	}
	if s.timeout, err = driver.ParseTimeout(raw, values["timeout"]); err != nil {
		return s, err
	}
	if s.tier = values["tier"]; s.tier != "" && !slices.Contains(tiers, s.tier) {
		return s, base.Errorf(base.Invalid, "bucket URL %q: tier=%q: want one that can be read at once: %s", raw, s.tier, strings.Join(tiers, ", "))
	}
	s.url = "az://" + s.account + "/" + s.container + strings.TrimSuffix("/"+s.prefix, "/")
	if u.RawQuery != "" {
		s.url += "?" + u.RawQuery
	}
	return s, nil
}
