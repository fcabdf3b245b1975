package handle

// GetTelemetrySubscriptions (key 71), version 0, and PushTelemetry (key 72), version 0: KIP-714. Both are offered only where somebody takes the metrics.
// Sums are asked for as they stand rather than as what they grew by, which /metrics can show without counting along.

import (
	"net"

	"sluice/base"
	"sluice/edge/telemetry"
	"sluice/wire/batch"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

func (h *Handler) getTelemetrySubscriptions(c *call, req *msg.GetTelemetrySubscriptionsRequest) *msg.GetTelemetrySubscriptionsResponse {
	resp := new(msg.GetTelemetrySubscriptionsResponse)
	resp.SetDefaults()
	client := c.telemetryClient(req.ClientInstanceId)
	if client.Instance.IsZero() {
		client.Instance = base.NewUUID()
	}
	told, code := h.opt.Telemetry.Subscribe(client)
	if resp.ErrorCode = int16(code); code != kerr.None {
		return resp
	}
	resp.ClientInstanceId, resp.SubscriptionId, resp.PushIntervalMs = client.Instance, told.ID, int32(told.IntervalMS)
	resp.AcceptedCompressionTypes = []int8{int8(batch.Zstd), int8(batch.LZ4), int8(batch.Gzip), int8(batch.Snappy)}
	resp.TelemetryMaxBytes, resp.DeltaTemporality, resp.RequestedMetrics = int32(h.opt.Telemetry.MaxBytes()), false, told.Metrics
	return resp
}

func (h *Handler) pushTelemetry(c *call, req *msg.PushTelemetryRequest) *msg.PushTelemetryResponse {
	resp := new(msg.PushTelemetryResponse)
	resp.SetDefaults()
	if req.ClientInstanceId.IsZero() || req.ClientInstanceId == (base.UUID{15: 1}) { // both are reserved
		resp.ErrorCode = int16(kerr.InvalidRequest)
		return resp
	}
	resp.ErrorCode = int16(h.opt.Telemetry.Push(c.telemetryClient(req.ClientInstanceId), telemetry.Push{
		Subscription: req.SubscriptionId, Terminating: req.Terminating, Compression: req.CompressionType, Metrics: req.Metrics,
	}))
	return resp
}

// telemetryClient says who asks.
func (c *call) telemetryClient(instance base.UUID) telemetry.Client {
	who := telemetry.Client{Instance: instance, ID: c.client}
	who.SoftwareName, who.SoftwareVer = c.Software()
	who.Address, who.Port, _ = net.SplitHostPort(c.RemoteAddr().String())
	return who
}
