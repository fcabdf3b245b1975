package node

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"sluice/base"
	"sluice/cluster/control"
	"sluice/cluster/meta"
	"sluice/edge/admin"
	"sluice/storage/objstore/driver"
)

// peerPortOffset is how far the port for other brokers lies above that for clients, unless it is set.
const peerPortOffset = 10_000

// listenPeer binds the port for other brokers. host is what clients are told, which serves for brokers too where the port is bound to all
// interfaces.
func (n *Node) listenPeer(host string) (err error) {
	c := n.opt.Config
	if c.Peer != "" {
		if n.peerLn, err = n.opt.Listen("tcp", c.Peer); err != nil {
			return base.Errorf(base.Invalid, "setting peer = %q: %w; give a free port with --peer, or port 0 for any", c.Peer, err)
		}
	} else {
		at, portText, err := net.SplitHostPort(c.FirstListen())
		if err != nil {
			return base.Errorf(base.Invalid, "setting listen = %q: %w", c.FirstListen(), err)
		}
		port, _ := strconv.Atoi(portText)
		if port += peerPortOffset; portText == "0" || port > 65535 {
			port = 0
		}
		if n.peerLn, err = n.opt.Listen("tcp", net.JoinHostPort(at, strconv.Itoa(port))); err != nil {
			if n.peerLn, err = n.opt.Listen("tcp", net.JoinHostPort(at, "0")); err != nil {
				return base.Errorf(base.Invalid, "no port for other brokers on %q: %w; give one with --peer", at, err)
			}
		}
	}
	boundHost, portText, err := net.SplitHostPort(n.peerLn.Addr().String())
	if err != nil {
		return base.Errorf(base.Invalid, "listening address %s: %w", n.peerLn.Addr(), err)
	}
	port, err := strconv.Atoi(portText)
	if ip := net.ParseIP(boundHost); ip != nil && !ip.IsUnspecified() {
		host = boundHost
	}
	n.peerEndpoint = meta.Endpoint{Name: meta.PeerEndpoint, Host: host, Port: int32(port)}
	return err
}

// join makes this process a member of the cluster and gets an epoch for this node.
func (n *Node) join(ctx context.Context) error {
	was, err := readIdentity(ctx, n.files(), n.dataDir(), n.places.wals)
	if err != nil {
		return err
	}
	if err := n.checkBucketOf(ctx, was); err != nil {
		return err
	}
	even, err := n.newBalancer(n.opt.Config)
	if err != nil {
		return err
	}
	n.member, err = control.Join(ctx, control.MemberOptions{
		Controller: control.Options{Store: n.store, Meta: n.meta, Who: n.name(), Now: n.opt.Now, SweepEvery: n.opt.Config.SweepInterval, DeleteGrace: n.opt.Config.DeleteGrace, OpenStore: n.walStore, Logger: n.log, Registerer: n.opt.Registry},
		Former:     was.Node, Session: n.opt.Config.SessionTimeout, Failing: n.failingRescues, OnFenced: n.fail,
		Load: n.load, Ledger: n.ledgerBody, Services: n.services(), Dial: n.opt.Dial, Balance: even, MovesMax: n.opt.Config.BalanceMoves,
	})
	if err != nil {
		return err
	}
	cluster := n.member.Image().ClusterID()
	if !was.Cluster.IsZero() && was.Cluster != cluster {
		return base.Errorf(base.Invalid, "this node's WAL and data directory belong to cluster %s, but the bucket %s holds cluster %s; give the bucket of that cluster, or an empty directory with --data (and --wal)", was.Cluster, n.store, cluster)
	}
	if _, known := n.member.Image().Node(was.Node); !known {
		was.Node = base.NoNode
	}
	id, wanted, err := n.wantedID(was.Node)
	if err != nil {
		return err
	}
	n.member.Serve(n.peerLn)
	n.self, err = n.member.Register(ctx, &meta.Register{
		Incarnation: n.incarnation, Reclaim: id, Wanted: wanted, Name: n.name(), Zone: n.opt.Config.Zone,
		Endpoints: n.endpoints(), WAL: n.places.wals[0],
	})
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	err = writeIdentity(ctx, n.files(), n.dataDir(), n.places.wals, identity{cluster, n.self.ID}, n.incarnation)
	if err != nil {
		return fmt.Errorf("prepare the WAL %s and the data directory for node %v: %w", n.places.wals[0], n.self.ID, err)
	}
	if n.admin != nil {
		n.admin.Attach(admin.Cluster{Node: n.self.ID, Control: n.member, Transfer: n.member.Transfer, WALs: n, Cost: n.cost, Compact: n.compactNow, Logger: n.log})
	}
	return nil
}

// wantedID returns the id to register with: the one that this node had, or else the one that its settings ask for, or base.NoNode.
func (n *Node) wantedID(had base.NodeID) (id base.NodeID, wanted bool, err error) {
	asks := base.NodeID(n.opt.Config.NodeID)
	switch {
	case asks == base.NoNode || asks == had:
		return had, false, nil
	case had != base.NoNode:
		return had, false, base.Errorf(base.Invalid, "setting node.id = %d, but this node's WAL or data directory belong to node %v; leave the setting away, or give empty directories", asks, had)
	}
	return asks, true, nil
}

// checkBucketOf refuses an empty bucket for a node that had another one: most likely the URL is wrong, and starting would create
// a cluster where nobody wants one.
func (n *Node) checkBucketOf(ctx context.Context, was identity) error {
	if was.Cluster.IsZero() {
		return nil
	}
	for _, err := range n.meta.List(driver.WithPurpose(ctx, driver.PurposeMetadata), "meta/", "") {
		return err
	}
	place := "bucket"
	if n.meta != n.store {
		place = "place of the metadata log"
	}
	return base.Errorf(base.Invalid, "this node's WAL and data directory belong to cluster %s, but the %s %s is empty; give the %s of that cluster, or an empty directory with --data (and --wal)", was.Cluster, place, n.meta, place)
}

func (n *Node) name() string {
	if n.opt.Config.Name != "" {
		return n.opt.Config.Name
	}
	return n.opt.Hostname
}
