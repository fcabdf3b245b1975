package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"sluice/base"
)

// ClientAuth says whether clients show a certificate.
type ClientAuth uint8

// None of them has to, they may, or they must.
const (
	None ClientAuth = iota
	Requested
	Required
)

// Options say what the files are. Own is required.
type Options struct {
	Own     []string // PEM files that together hold one private key and its certificate, followed by those that sign it
	Trusted []string // PEM files with the authorities of clients' certificates; needed unless Clients is None
	Clients ClientAuth
	Min     uint16           // version of TLS; 0: TLS 1.2
	Max     uint16           // version of TLS; 0: the newest
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: none
}

// lookEvery is how often files are looked at, if there are handshakes.
const lookEvery = time.Second

// Files is a TLS configuration that follows its files. It is safe for concurrent use.
type Files struct {
	opt Options

	mu struct {
		sync.Mutex
		config *tls.Config
		stamps []stamp
		looked time.Time
		failed string // what was logged last
	}
}

// stamp is what changes when a file does.
type stamp struct {
	modified time.Time
	size     int64
}

// Load reads the files. The error has kind Invalid and names the file.
func Load(opt Options) (*Files, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Files{opt: opt}
	f.mu.looked = opt.Now()
	f.mu.stamps = f.look()
	var err error
	f.mu.config, err = f.read()
	return f, err
}

// Config returns a configuration for a listener; every handshake takes the newest files.
func (f *Files) Config() *tls.Config {
	return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return f.current(), nil }}
}

// Anonymous is Config for a listener whose clients prove otherwise who they are: none shows a certificate.
func (f *Files) Anonymous() *tls.Config {
	return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := f.current().Clone()
		c.ClientAuth, c.ClientCAs = tls.NoClientCert, nil
		return c, nil
	}}
}

// Dialing returns a configuration to connect with to a host, of the newest files: it shows the same certificate that listeners show, and believes a server
// that has one for that host from the authorities that clients' certificates have to be from. Only for files with Clients Required.
func (f *Files) Dialing(host string) *tls.Config {
	c := f.current().Clone()
	c.RootCAs, c.ServerName = c.ClientCAs, host
	own := &c.Certificates[0] // shown to a server that believes in others, too: then it says what is wrong with it
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil }
	return c
}

// current returns the configuration of the newest usable files.
func (f *Files) current() *tls.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.opt.Now()
	if now.Sub(f.mu.looked) < lookEvery {
		return f.mu.config
	}
	f.mu.looked = now
	stamps := f.look()
	if slices.Equal(stamps, f.mu.stamps) {
		return f.mu.config
	}
	config, err := f.read()
	if err != nil {
		if err.Error() != f.mu.failed {
			f.opt.Logger.Warn("cannot use new certificates; the former stay in use", "error", err)
		}
		f.mu.failed = err.Error()
		return f.mu.config
	}
	f.opt.Logger.Info("read new certificates", "files", f.opt.Own)
	f.mu.config, f.mu.stamps, f.mu.failed = config, stamps, ""
	return config
}

func (f *Files) look() (stamps []stamp) {
	for _, name := range slices.Concat(f.opt.Own, f.opt.Trusted) {
		var s stamp
		if info, err := os.Stat(name); err == nil {
			s = stamp{info.ModTime(), info.Size()}
		}
		stamps = append(stamps, s)
	}
	return stamps
}

func (f *Files) read() (*tls.Config, error) {
	var own []byte
	for _, name := range f.opt.Own {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, base.Errorf(base.Invalid, "key and certificate: %w", err)
		}
		own = append(append(own, b...), '\n')
	}
	cert, err := tls.X509KeyPair(own, own)
	if err != nil {
		return nil, base.Errorf(base.Invalid, "key and certificate in %v: %w", f.opt.Own, err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: max(f.opt.Min, tls.VersionTLS12), MaxVersion: f.opt.Max}
	if f.opt.Clients == None {
		return c, nil
	}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	if f.opt.Clients == Requested {
		c.ClientAuth = tls.VerifyClientCertIfGiven
	}
	c.ClientCAs, err = authorities(f.opt.Trusted)
	return c, err
}

// authorities reads certificates to believe in.
func authorities(names []string) (*x509.CertPool, error) {
	pool, found := x509.NewCertPool(), false
	for _, name := range names {
		rest, err := os.ReadFile(name)
		if err != nil {
			return nil, base.Errorf(base.Invalid, "authorities of clients: %w", err)
		}
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if block.Type != "CERTIFICATE" {
				continue
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, base.Errorf(base.Invalid, "authorities of clients in %s: %w", name, err)
			}
			pool.AddCert(cert)
			found = true
		}
	}
	if !found {
		return nil, base.Errorf(base.Invalid, "authorities of clients: %s", fmt.Sprintf("no certificate in %v", names))
	}
	return pool, nil
}
