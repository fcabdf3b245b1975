package etcd

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"sluice/base"
	"sluice/storage/objstore/driver"
)

const (
	partBytes         = 1 << 20         // of a value; etcd refuses requests above 1.5 MiB unless told otherwise
	partsMax          = 120             // of an object; etcd refuses transactions of more than 128 operations unless told otherwise
	requestTimeout    = 2 * time.Second // an election of etcd takes about one; well below the session of a node
	timeoutDoublings  = 3               // of requestTimeout at most, while requests run into it: to 16 s
	minBytesPerSecond = 256 << 10
	answerMax         = 16 << 20 // bytes of an answer; a page of a listing has at most 1.5 MiB, a part 1.4 MiB in base64
	listPage          = 1000     // keys per request of a listing
	deleteBatch       = 40       // objects per transaction, of three operations each
	defaultPort       = "2379"
)

// Store is the part of an etcd below a prefix.
type Store struct {
	client    *http.Client
	endpoints []string // http://HOST:PORT
	prefix    string   // ends with a slash
	url       string
	user      *url.Userinfo // nil: none

	at      atomic.Uint32          // index of the endpoint in use
	slow    atomic.Int32           // requests that ran into their deadline since the last answer
	token   atomic.Pointer[string] // of the user; nil: authenticate first
	cluster atomic.Pointer[string] // id of the etcd cluster, once it has answered
}

var _ driver.Store = (*Store)(nil)

const form = "want etcd://[USER:PASSWORD@]HOST:PORT[,HOST:PORT…]/PREFIX[?tls=true&ca=FILE&cert=FILE&key=FILE]"

// settings is what a URL says.
type settings struct {
	user            *url.Userinfo
	hosts           []string // HOST:PORT
	prefix          string
	tls             bool
	ca, cert, key   string // files
	withoutPassword string // the URL
}

// parse reads a URL. net/url would refuse the list of hosts. Errors are Invalid and never repeat a credential.
func parse(raw string) (s settings, err error) {
	rest, ok := strings.CutPrefix(raw, "etcd://")
	rest, query, hasQuery := strings.Cut(rest, "?")
	authority, prefix, hasPrefix := strings.Cut(rest, "/")
	if !ok || strings.Contains(rest, "#") {
		return s, base.Errorf(base.Invalid, "etcd URL: %s", form)
	}
	hosts := authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		u, err := url.Parse("etcd://" + authority[:at] + "@host")
		if err != nil || u.User.Username() == "" {
			return s, base.Errorf(base.Invalid, "etcd URL: bad USER:PASSWORD before @; escape what is not a letter or digit as %%XX")
		}
		s.user, hosts = u.User, authority[at+1:]
	}
	if s.hosts, err = parseHosts(hosts); err != nil {
		return s, err
	}
	s.prefix = strings.Trim(prefix, "/")
	if err := driver.CheckKey(s.prefix); !hasPrefix || err != nil || len(s.prefix) > 200 {
		return s, base.Errorf(base.Invalid, "etcd URL: bad prefix %q: 1 to 200 bytes of printable ASCII without a space, and no component that is empty or starts with a dot; %s", s.prefix, form)
	}
	s.prefix += "/"
	s.withoutPassword = "etcd://" + strings.Join(s.hosts, ",") + "/" + strings.TrimSuffix(s.prefix, "/")
	if hasQuery && query != "" {
		s.withoutPassword += "?" + query
	}
	return s, s.parseQuery(query)
}

func parseHosts(list string) (hosts []string, err error) {
	for h := range strings.SplitSeq(list, ",") {
		host, port, err := net.SplitHostPort(h)
		if err != nil { // most likely there is no port
			host, port = strings.Trim(h, "[]"), defaultPort
		}
		n, portErr := strconv.ParseUint(port, 10, 16)
		if host == "" || portErr != nil || n == 0 || strings.ContainsAny(host, "/?#[]@ ") || net.ParseIP(host) == nil && strings.Contains(host, ":") {
			return nil, base.Errorf(base.Invalid, "etcd URL: %q is no HOST:PORT; %s", h, form)
		}
		hosts = append(hosts, net.JoinHostPort(host, port))
	}
	return hosts, nil
}

func (s *settings) parseQuery(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return base.Errorf(base.Invalid, "etcd URL: bad parameters: %v; %s", err, form)
	}
	for name, v := range values {
		if !slices.Contains([]string{"tls", "ca", "cert", "key"}, name) || len(v) != 1 {
			return base.Errorf(base.Invalid, "etcd URL: parameter %q is unknown or given twice; %s", name, form)
		}
	}
	if v := values.Get("tls"); v != "" {
		if s.tls, err = strconv.ParseBool(v); err != nil {
			return base.Errorf(base.Invalid, "etcd URL: tls=%q: want true or false", v)
		}
	}
	s.ca, s.cert, s.key = values.Get("ca"), values.Get("cert"), values.Get("key")
	if !s.tls && s.ca+s.cert+s.key != "" {
		return base.Errorf(base.Invalid, "etcd URL: ca, cert and key need tls=true")
	}
	if (s.cert == "") != (s.key == "") {
		return base.Errorf(base.Invalid, "etcd URL: cert and key belong together")
	}
	return nil
}

// Open opens the part of an etcd that the URL names. It does not contact etcd.
func Open(rawURL string) (*Store, error) {
	set, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
		MaxIdleConnsPerHost: 32,
		IdleConnTimeout:     60 * time.Second,
		DisableCompression:  true,
	}
	s := &Store{client: &http.Client{Transport: transport, CheckRedirect: noRedirect}, prefix: set.prefix, url: set.withoutPassword, user: set.user}
	scheme := "http://"
	if set.tls {
		scheme = "https://"
		if transport.TLSClientConfig, err = set.tlsConfig(); err != nil {
			return nil, err
		}
	}
	for _, h := range set.hosts {
		s.endpoints = append(s.endpoints, scheme+h)
	}
	return s, nil
}

// noRedirect has an answer taken as it is: etcd sends none that leads elsewhere, and what does might repeat a put.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (s *settings) tlsConfig() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.ca != "" {
		pem, err := os.ReadFile(s.ca)
		if err != nil {
			return nil, base.Errorf(base.Invalid, "etcd URL: ca: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, base.Errorf(base.Invalid, "etcd URL: ca: %s holds no certificate", s.ca)
		}
	}
	if s.cert != "" {
		pair, err := tls.LoadX509KeyPair(s.cert, s.key)
		if err != nil {
			return nil, base.Errorf(base.Invalid, "etcd URL: cert and key: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func (s *Store) String() string { return s.url }
