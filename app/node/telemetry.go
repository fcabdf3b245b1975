package node

import (
	"sync"

	"sluice/base"
	"sluice/base/config"
	"sluice/cluster/meta"
	"sluice/edge/telemetry"
)

// startTelemetry takes in the metrics that clients push, if the settings say so, under the subscriptions that the metadata has.
func (n *Node) startTelemetry(c *config.Config) {
	if c.Telemetry == "off" {
		return
	}
	opt := telemetry.Options{MaxBytes: int(c.TelemetryBytes), Logger: n.log, Registerer: n.opt.Registry}
	if c.Telemetry != "metrics" {
		opt.Collector = c.Telemetry
	}
	n.telemetry = telemetry.New(opt)
	var mu sync.Mutex
	var pos base.MetaPos
	read := func(img *meta.Image) {
		mu.Lock()
		defer mu.Unlock()
		if img.Pos() >= pos {
			pos = img.Pos()
			n.telemetry.Update(n.subscriptions(img))
		}
	}
	n.unsubscribe = n.member.Subscribe(func(old, img *meta.Image) {
		if delta := img.DeltaFrom(old); delta == nil || delta.Configs {
			read(img)
		}
	})
	read(n.member.Image())
}

// subscriptions reads those that the metadata has. One that is not understood, which a newer release wrote, is left out.
func (n *Node) subscriptions(img *meta.Image) (all []telemetry.Subscription) {
	for r := range img.ConfigResources(meta.ClientMetricsConfig) {
		s, err := telemetry.NewSubscription(r.Configs)
		if err != nil {
			n.log.Warn("a subscription of clients' metrics is not understood", "name", r.Name, "error", err)
			continue
		}
		all = append(all, s)
	}
	return all
}
