package node

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"sluice/base"
	"sluice/base/config"
	"sluice/broker/auth"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/edge/certs"
	"sluice/edge/handle"
	"sluice/edge/kafka"
	"sluice/edge/sasl"
)

// listener is a place where clients connect.
type listener struct {
	config.Listener
	ln       net.Listener
	endpoint meta.Endpoint // where clients are told to connect
}

// listenClients makes ready what security needs, and binds the ports for clients.
func (n *Node) listenClients() error {
	c := n.opt.Config
	all, err := c.ListenerList()
	if err != nil {
		return err
	}
	if err := n.security.load(n, all); err != nil {
		return err
	}
	for _, l := range all {
		ln, err := n.opt.Listen("tcp", l.Listen)
		if err != nil {
			if c.Listeners != "" {
				return base.Errorf(base.Invalid, "setting listeners: %s on %q: %w; is another broker running there? Port 0 takes any free one", l.Name, l.Listen, err)
			}
			return base.Errorf(base.Invalid, "setting listen = %q: %w; is another broker running there? Give a free port with --listen, or port 0 for any", l.Listen, err)
		}
		n.listeners = append(n.listeners, listener{Listener: l, ln: ln})
		host, port, err := advertised(l, ln.Addr(), n.opt.Hostname)
		if err != nil {
			return err
		}
		n.listeners[len(n.listeners)-1].endpoint = meta.Endpoint{Name: l.Name, Host: host, Port: int32(port)}
	}
	return nil
}

// endpoints returns where clients and other brokers reach this node.
func (n *Node) endpoints() (all []meta.Endpoint) {
	for _, l := range n.listeners {
		all = append(all, l.endpoint)
	}
	return append(all, n.peerEndpoint)
}

// advertised returns the address that clients of a listener are told.
func advertised(l config.Listener, bound net.Addr, hostname string) (host string, port int, err error) {
	boundHost, boundPort, err := net.SplitHostPort(bound.String())
	if err != nil {
		return "", 0, base.Errorf(base.Invalid, "listening address %s: %w", bound, err)
	}
	host, portText := boundHost, boundPort
	if l.Advertise != "" {
		if host, portText, err = net.SplitHostPort(l.Advertise); err != nil {
			return "", 0, base.Errorf(base.Invalid, "advertised address %q: %w", l.Advertise, err)
		}
	} else if asked, _, err := net.SplitHostPort(l.Listen); err == nil && asked != "" && net.ParseIP(asked) == nil {
		host = asked // a name stays a name
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if host = hostname; host == "" {
			host = "localhost"
		}
	}
	if portText == "0" {
		portText = boundPort
	}
	port, err = strconv.Atoi(portText)
	return host, port, err
}

// security is what the listeners and the handler work with.
type security struct {
	listeners map[string]kafka.Listener
	byName    map[string]config.Listener
	users     *sasl.Users
	mapping   auth.Mapping
	login     bool // some listener has clients log in
	image     func() *meta.Image

	authorizer atomic.Pointer[auth.Authorizer] // nil: nobody is refused anything
	unfollow   func()
	removing   context.CancelFunc // nil: no delegation tokens are removed
	removed    sync.WaitGroup
}

var clientAuth = map[string]certs.ClientAuth{"none": certs.None, "requested": certs.Requested, "required": certs.Required}

// load reads files that the settings name.
func (s *security) load(n *Node, all []config.Listener) (err error) {
	c := n.opt.Config
	s.listeners, s.byName = map[string]kafka.Listener{}, map[string]config.Listener{}
	if s.mapping, err = auth.ParseMapping(c.SSLPrincipalRules); err != nil {
		return base.Errorf(base.Invalid, "setting ssl.principal.mapping.rules = %q (%s): %w", c.SSLPrincipalRules, c.Origin("ssl.principal.mapping.rules"), err)
	}
	var files *certs.Files
	for _, l := range all {
		s.byName[l.Name] = l
		s.login = s.login || l.SASL()
		conns := kafka.Listener{Login: l.SASL()}
		if l.TLS() {
			if files == nil {
				if files, err = loadCertificates(n); err != nil {
					return err
				}
			}
			conns.TLS = files.Config()
			if l.SASL() { // ssl.client.auth is for clients that do not log in, as in Kafka
				conns.TLS = files.Anonymous()
			}
		}
		s.listeners[l.Name] = conns
	}
	if c.SASLUsers != "" {
		s.users, err = sasl.LoadUsers(c.SASLUsers, n.log)
	}
	return err
}

func loadCertificates(n *Node) (*certs.Files, error) {
	c := n.opt.Config
	own, trusted := c.SSLFiles()
	opt := certs.Options{Own: own, Trusted: trusted, Clients: clientAuth[c.SSLClientAuth], Min: tls.VersionTLS12, Logger: n.log}
	if versions := c.SSLVersions(); !slices.Contains(versions, "TLSv1.3") {
		opt.Max = tls.VersionTLS12
	} else if !slices.Contains(versions, "TLSv1.2") {
		opt.Min = tls.VersionTLS13
	}
	return certs.Load(opt)
}

// follow keeps the authorizer in step with the metadata, and begins to remove delegation tokens that have ended.
func (s *security) follow(n *Node, c *config.Config) {
	client := control.Client(n.member)
	s.image = client.Image
	if c.TokenSecret != "" {
		var ctx context.Context
		ctx, s.removing = context.WithCancel(context.Background())
		s.removed.Go(func() { n.removeTokens(ctx, c.TokenCheck) })
	}
	if c.Authorizer == "" {
		return
	}
	super := auth.ParsePrincipals(c.SuperUserList())
	var newest struct {
		sync.Mutex
		pos base.MetaPos
	}
	take := func(img *meta.Image) { // images come from two sides at first
		newest.Lock()
		defer newest.Unlock()
		if s.authorizer.Load() == nil || img.Pos() > newest.pos {
			s.authorizer.Store(auth.CompileImage(img, super, c.AllowIfNoACL))
			newest.pos = img.Pos()
		}
	}
	s.unfollow = client.Subscribe(func(old, img *meta.Image) {
		if delta := img.DeltaFrom(old); delta == nil || delta.Configs {
			take(img)
		}
	})
	take(client.Image())
}

func (s *security) stop() {
	if s.unfollow != nil {
		s.unfollow()
		s.unfollow = nil
	}
	if s.removing != nil {
		s.removing()
		s.removed.Wait()
		s.removing = nil
	}
}

// forHandler returns what the handler is to know.
func (s *security) forHandler(c *config.Config) *handle.Security {
	sec := &handle.Security{Listeners: s.byName, Mapping: s.mapping, MaxReauth: c.MaxReauth, FailureDelay: c.AuthFailureDelay, Authorizer: s.authorizer.Load}
	sec.Tokens = handle.TokenSettings{Secret: c.TokenSecret, MaxLifetime: c.TokenMaxLifetime, Expiry: c.TokenExpiry}
	if !s.login {
		return sec
	}
	opt := sasl.Options{
		Mechanisms: c.SASLMechanisms(), Users: s.users,
		Credential: func(user string, m auth.Mechanism) (auth.Credential, bool) {
			return auth.StoredCredential(s.image(), user, m)
		},
	}
	if c.TokenSecret != "" {
		opt.TokenCredential = sasl.NewTokens(c.TokenSecret, func(id string) (auth.TokenInfo, bool) { return auth.StoredToken(s.image(), id) }).Credential
	}
	if c.OAuthJWKS != "" || c.OAuthUnsecured {
		opt.Bearer = sasl.NewBearer(sasl.BearerOptions{
			JWKS: c.OAuthJWKS, Issuer: c.OAuthIssuer, Audiences: c.OAuthAudiences(), Subject: c.OAuthSubClaim, Unsecured: c.OAuthUnsecured,
		})
	}
	sec.SASL = sasl.New(opt)
	return sec
}
