package config

import (
	"net"
	"slices"
	"strings"

	"sluice/base"
)

// Security protocols of listeners, in Kafka's words.
const (
	Plaintext     = "PLAINTEXT"
	SSL           = "SSL"
	SASLPlaintext = "SASL_PLAINTEXT"
	SASLSSL       = "SASL_SSL"
)

var protocols = []string{Plaintext, SSL, SASLPlaintext, SASLSSL}

// Mechanisms that are known, in Kafka's words.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
	OAuthBearer = "OAUTHBEARER"
)

// Authorizers that Authorizer may name: the one there is, by a short name and by Kafka's.
const (
	standardAuthorizer = "standard"
	kafkasAuthorizer   = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
)

const (
	listenerForm = "NAME://HOST:PORT, with commas between"
	filesForm    = "names of PEM files, with commas between"
)

var securitySettings = []Setting{
	{Name: "listeners", Group: security, Kind: Text, Form: listenerForm, Auto: "listen alone, in plain text", Many: true,
		Doc:   "Where Kafka clients connect, if that is more than one place or not plain text. A name is a security protocol (PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL), or any other that listener.security.protocol.map explains. All brokers of a cluster should have the same names.",
		field: func(c *Config) any { return &c.Listeners }},
	{Name: "advertised.listeners", Group: security, Kind: Text, Form: listenerForm, Auto: "the listening addresses, with the host name for all interfaces", Many: true,
		Doc:   "The addresses that clients are told to connect to, for those of the listeners where they are not the ones that are listened on.",
		field: func(c *Config) any { return &c.AdvertisedListeners }},
	{Name: "listener.security.protocol.map", Group: security, Kind: Text, Form: "NAME:PROTOCOL, with commas between", Auto: "every protocol is a name for itself", Many: true,
		Doc:   "The security protocols of listeners that have other names.",
		field: func(c *Config) any { return &c.ListenerProtocols }},
	{Name: "ssl.keystore.location", Group: security, Kind: Text, Auto: "none", Form: filesForm, Many: true,
		Doc:   "The private key and the certificate with its chain, in one file or several. They are read again when they change.",
		field: func(c *Config) any { return &c.SSLKeystore }},
	{Name: "ssl.truststore.location", Group: security, Kind: Text, Auto: "none", Form: filesForm, Many: true,
		Doc:   "The certificates of the authorities that sign clients' certificates. They are read again when they change.",
		field: func(c *Config) any { return &c.SSLTruststore }},
	{Name: "ssl.client.auth", Group: security, Kind: Choice, Default: "none", Choices: []string{"none", "requested", "required"},
		Doc:   "Whether clients of SSL listeners show a certificate, from which their principal is made.",
		field: func(c *Config) any { return &c.SSLClientAuth }},
	{Name: "ssl.principal.mapping.rules", Group: security, Kind: Text, Default: "DEFAULT", Form: "RULE:PATTERN/REPLACEMENT/[LU] and DEFAULT, with commas between",
		Doc:   "How the distinguished name of a client's certificate becomes the name of its principal: the first rule whose pattern matches all of it; DEFAULT takes it as it is.",
		field: func(c *Config) any { return &c.SSLPrincipalRules }},
	{Name: "ssl.enabled.protocols", Group: security, Kind: Text, Default: "TLSv1.2,TLSv1.3", Form: "TLSv1.2 and TLSv1.3, with commas between",
		Doc:   "The versions of TLS that are offered.",
		field: func(c *Config) any { return &c.SSLProtocols }},
	{Name: "security.inter.broker.protocol", Group: security, Kind: Choice, Default: Plaintext, Choices: []string{Plaintext, SSL},
		Doc:   "Whether brokers speak TLS with each other, and show each other the certificates of ssl.keystore.location, which those of ssl.truststore.location have to have signed. The same for all brokers of a cluster.",
		field: func(c *Config) any { return &c.PeerProtocol }},
	{Name: "sasl.enabled.mechanisms", Group: security, Kind: Text, Default: "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN", Form: "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER, with commas between",
		Doc:   "How clients of SASL listeners may log in.",
		field: func(c *Config) any { return &c.SASLMechanismList }},
	{Name: "sasl-users", Group: security, Kind: Text, Auto: "none", Form: "name of a file with lines NAME = PASSWORD",
		Doc:   "Users who log in with PLAIN or SCRAM beside those that the cluster knows, above all the first one. The file is read again when it changes; a SCRAM user whom the cluster knows by the same name goes first.",
		field: func(c *Config) any { return &c.SASLUsers }},
	{Name: "connections.max.reauth.ms", Group: security, Kind: Millis, Default: "0", Min: "0", Auto: "never",
		Doc:   "After so long a client has to log in again, which new ones do on the same connection; others are closed.",
		field: func(c *Config) any { return &c.MaxReauth }},
	{Name: "connection.failed.authentication.delay.ms", Group: security, Kind: Millis, Default: "100", Min: "0", Max: "10000",
		Doc:   "A failed login is answered, and its connection closed, after so long, so that guessing takes time.",
		field: func(c *Config) any { return &c.AuthFailureDelay }},
	{Name: "sasl.oauthbearer.jwks.endpoint.url", Group: security, Kind: Text, Auto: "none", Form: "https://… or file:///…",
		Doc:   "The keys that sign the tokens of OAUTHBEARER, as a JSON web key set.",
		field: func(c *Config) any { return &c.OAuthJWKS }},
	{Name: "sasl.oauthbearer.expected.issuer", Group: security, Kind: Text, Auto: "any",
		Doc:   "The issuer that tokens must name.",
		field: func(c *Config) any { return &c.OAuthIssuer }},
	{Name: "sasl.oauthbearer.expected.audience", Group: security, Kind: Text, Auto: "any", Form: "names with commas between",
		Doc:   "The audiences of which tokens must name one.",
		field: func(c *Config) any { return &c.OAuthAudience }},
	{Name: "sasl.oauthbearer.sub.claim.name", Group: security, Kind: Text, Default: "sub",
		Doc:   "The claim of a token that is the name of the principal.",
		field: func(c *Config) any { return &c.OAuthSubClaim }},
	{Name: "sasl-oauthbearer-unsecured", Group: security, Kind: Bool, Default: "false",
		Doc:   "Tokens without a signature are taken, so anybody can be anybody. For tests.",
		field: func(c *Config) any { return &c.OAuthUnsecured }},
	{Name: "authorizer.class.name", Group: security, Kind: Choice, Choices: []string{standardAuthorizer, kafkasAuthorizer}, Auto: "none: nobody is refused anything",
		Doc:   "Whether access control lists decide what clients may do. There is one authorizer, by two names. The same for all brokers of a cluster.",
		field: func(c *Config) any { return &c.Authorizer }},
	{Name: "super.users", Group: security, Kind: Text, Auto: "nobody", Form: "principals such as User:admin, with semicolons between",
		Doc:   "Principals that may do everything.",
		field: func(c *Config) any { return &c.SuperUsers }},
	{Name: "allow.everyone.if.no.acl.found", Group: security, Kind: Bool, Default: "false",
		Doc:   "Everybody may do everything with a resource that no access control list speaks of.",
		field: func(c *Config) any { return &c.AllowIfNoACL }},
	{Name: "delegation.token.secret.key", Group: security, Kind: Text, Auto: "none: there are no delegation tokens", Secret: true,
		Doc:   "The secret from which the keys of delegation tokens are made. The same for all brokers of a cluster. Better in the file or the environment than on the command line.",
		field: func(c *Config) any { return &c.TokenSecret }},
	{Name: "delegation.token.max.lifetime.ms", Group: security, Kind: Millis, Default: "604800000", Min: "1",
		Doc:   "After so long a delegation token ends, however often it was renewed.",
		field: func(c *Config) any { return &c.TokenMaxLifetime }},
	{Name: "delegation.token.expiry.time.ms", Group: security, Kind: Millis, Default: "86400000", Min: "1",
		Doc:   "After so long a delegation token ends if it is not renewed.",
		field: func(c *Config) any { return &c.TokenExpiry }},
	{Name: "delegation.token.expiry.check.interval.ms", Group: security, Kind: Millis, Default: "3600000", Min: "1",
		Doc:   "Delegation tokens that have ended are removed so often.",
		field: func(c *Config) any { return &c.TokenCheck }},
}

// Listener is one of the places where Kafka clients connect.
type Listener struct {
	Name      string
	Protocol  string
	Listen    string // HOST:PORT
	Advertise string // HOST:PORT; empty means the listening address
}

// TLS reports whether the listener speaks TLS.
func (l Listener) TLS() bool { return l.Protocol == SSL || l.Protocol == SASLSSL }

// SASL reports whether clients of the listener have to log in.
func (l Listener) SASL() bool { return l.Protocol == SASLPlaintext || l.Protocol == SASLSSL }

// ListenerList returns the listeners, at least one: those of listeners, or else the one of listen, which is called PLAINTEXT as Kafka's default is. The
// error has kind Invalid; Resolve has checked that there is none.
func (c *Config) ListenerList() ([]Listener, error) {
	all := []Listener{{Name: Plaintext, Protocol: Plaintext, Listen: c.Listen, Advertise: c.Advertise}}
	if c.Listeners != "" {
		var err error
		if all, err = c.namedListeners(); err != nil {
			return nil, err
		}
	}
	for _, e := range listed(c.AdvertisedListeners) {
		name, at, err := cutListener(e)
		i := slices.IndexFunc(all, func(l Listener) bool { return l.Name == name })
		switch {
		case err != "":
			return nil, c.wrong("advertised.listeners", c.AdvertisedListeners, "%q %s; want %s", e, err, listenerForm)
		case i < 0 && c.Listeners == "":
			return nil, c.wrong("advertised.listeners", c.AdvertisedListeners, "there is no listener %s; without the setting listeners there is PLAINTEXT alone", name)
		case i < 0:
			return nil, c.wrong("advertised.listeners", c.AdvertisedListeners, "there is no listener %s", name)
		}
		all[i].Advertise = at
	}
	return all, nil
}

func (c *Config) namedListeners() (all []Listener, err error) {
	names := map[string]string{}
	for _, p := range protocols {
		names[p] = p
	}
	for _, e := range listed(c.ListenerProtocols) {
		name, protocol, ok := strings.Cut(e, ":")
		if !ok || name == "" || !slices.Contains(protocols, protocol) {
			return nil, c.wrong("listener.security.protocol.map", c.ListenerProtocols, "%q is no NAME:PROTOCOL with one of the protocols %s", e, strings.Join(protocols, ", "))
		}
		names[strings.ToUpper(name)] = protocol
	}
	for _, e := range listed(c.Listeners) {
		name, at, err := cutListener(e)
		if err != "" {
			return nil, c.wrong("listeners", c.Listeners, "%q %s; want %s", e, err, listenerForm)
		}
		protocol, known := names[name]
		if !known {
			return nil, c.wrong("listeners", c.Listeners, "listener %s is no security protocol and not in listener.security.protocol.map", name)
		}
		if slices.ContainsFunc(all, func(l Listener) bool { return l.Name == name }) || name == "PEER" {
			return nil, c.wrong("listeners", c.Listeners, "the name %s is taken", name)
		}
		all = append(all, Listener{Name: name, Protocol: protocol, Listen: at})
	}
	if len(all) == 0 {
		return nil, c.wrong("listeners", c.Listeners, "it names no listener")
	}
	return all, nil
}

// wrong is the error of a setting that does not go with the others.
func (c *Config) wrong(name, value, format string, args ...any) error {
	return base.Errorf(base.Invalid, "setting %s = %q (%s): "+format, append([]any{name, value, c.Origin(name)}, args...)...)
}

// cutListener divides NAME://HOST:PORT; wrong says what is wrong with it.
func cutListener(text string) (name, at, wrong string) {
	name, at, ok := strings.Cut(text, "://")
	if !ok || name == "" {
		return "", "", "has no name"
	}
	if err := checkHostPort(at); err != nil {
		return "", "", err.Error()
	}
	return strings.ToUpper(name), at, ""
}

// SASLMechanisms returns the mechanisms that are offered.
func (c *Config) SASLMechanisms() []string {
	names := listed(c.SASLMechanismList)
	for i := range names {
		names[i] = strings.ToUpper(names[i])
	}
	return names
}

// SuperUserList returns the principals that may do everything.
func (c *Config) SuperUserList() (out []string) {
	for e := range strings.SplitSeq(c.SuperUsers, ";") {
		if e = strings.TrimSpace(e); e != "" {
			out = append(out, e)
		}
	}
	return out
}

// SSLFiles returns the PEM files of key and certificate, and those of the authorities of clients.
func (c *Config) SSLFiles() (own, trusted []string) {
	return listed(c.SSLKeystore), listed(c.SSLTruststore)
}

// SSLVersions returns the names of the versions of TLS that are offered.
func (c *Config) SSLVersions() []string { return listed(c.SSLProtocols) }

// OAuthAudiences returns the audiences of which a token must name one; none means any.
func (c *Config) OAuthAudiences() []string { return listed(c.OAuthAudience) }

// checkSecurity proves the relations between the settings of security.
func (c *Config) checkSecurity() error {
	all, err := c.ListenerList()
	if err != nil {
		return err
	}
	if c.Listeners != "" && c.Origin("listen") != "default" {
		return c.wrong("listen", c.Listen, "listeners is given too; put it there")
	}
	if c.Listeners != "" && c.Advertise != "" {
		return c.wrong("advertise", c.Advertise, "listeners is given; use advertised.listeners")
	}
	if c.Advertise != "" && c.AdvertisedListeners != "" {
		return c.wrong("advertise", c.Advertise, "advertised.listeners is given too; want one of them")
	}
	for _, v := range c.SSLVersions() {
		if v != "TLSv1.2" && v != "TLSv1.3" {
			return c.wrong("ssl.enabled.protocols", c.SSLProtocols, "want TLSv1.2, TLSv1.3 or both")
		}
	}
	for _, m := range c.SASLMechanisms() {
		switch m {
		case Plain, ScramSHA256, ScramSHA512:
		case OAuthBearer:
			if c.OAuthJWKS == "" && !c.OAuthUnsecured {
				return c.wrong("sasl.enabled.mechanisms", c.SASLMechanismList, "OAUTHBEARER needs sasl.oauthbearer.jwks.endpoint.url")
			}
		default:
			return c.wrong("sasl.enabled.mechanisms", c.SASLMechanismList, "there is no mechanism %s", m)
		}
	}
	for _, p := range c.SuperUserList() {
		if kind, name, ok := strings.Cut(p, ":"); !ok || kind == "" || name == "" {
			return c.wrong("super.users", c.SuperUsers, "%s is no principal such as User:admin", p)
		}
	}
	own, trusted := c.SSLFiles()
	if c.PeerProtocol == SSL && (len(own) == 0 || len(trusted) == 0) {
		return c.wrong("security.inter.broker.protocol", c.PeerProtocol, "it needs ssl.keystore.location and ssl.truststore.location")
	}
	for _, l := range all {
		switch {
		case l.TLS() && len(own) == 0:
			return c.wrong("listeners", c.Listeners, "a listener with %s needs a key and a certificate: ssl.keystore.location", l.Protocol)
		case l.Protocol == SSL && c.SSLClientAuth != "none" && len(trusted) == 0:
			return c.wrong("ssl.client.auth", c.SSLClientAuth, "it needs ssl.truststore.location, to know whose certificates to believe")
		case l.SASL() && len(c.SASLMechanisms()) == 0:
			return c.wrong("sasl.enabled.mechanisms", c.SASLMechanismList, "a listener with %s needs at least one", l.Protocol)
		}
	}
	return nil
}

// FirstListen returns the address of the first listener, from which that for other brokers is made.
func (c *Config) FirstListen() string {
	if all, err := c.ListenerList(); err == nil {
		return all[0].Listen
	}
	return net.JoinHostPort("", "0")
}
