package node

import (
	"context"
	"crypto/tls"
	"net"

	"sluice/base"
	"sluice/base/config"
	"sluice/edge/certs"
)

// securePeers binds the port for other brokers, and has brokers speak TLS with each other, if they are to: each shows its certificate, and the one that connects holds the other to the
// name or address that it connects to.
func (n *Node) securePeers(host string) error {
	c := n.opt.Config
	if err := n.listenPeer(host); err != nil || c.PeerProtocol != config.SSL {
		return err
	}
	own, trusted := c.SSLFiles()
	files, err := certs.Load(certs.Options{Own: own, Trusted: trusted, Clients: certs.Required, Min: tls.VersionTLS13, Logger: n.log})
	if err != nil {
		return err
	}
	n.peerLn = tls.NewListener(n.peerLn, files.Config())
	dial := n.opt.Dial
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	n.opt.Dial = func(ctx context.Context, address string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		plain, err := dial(ctx, address)
		if err != nil {
			return nil, err
		}
		secure := tls.Client(plain, files.Dialing(host))
		if err := secure.HandshakeContext(ctx); err != nil {
			plain.Close()
			return nil, base.Errorf(base.Unavailable, "TLS with another broker: %w", err)
		}
		return secure, nil
	}
	return nil
}
