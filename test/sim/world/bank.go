package world

import (
	"context"
	"time"

	"sluice/test/clients"
)

// openBank starts the bank of the scenario.
func (w *world) openBank() {
	if w.Tellers == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), servedWithin)
	defer cancel()
	ended := func(id string, err error) { w.trace.Event("%s ends: %v", id, err) }
	b, err := w.set.StartBank(ctx, w.Tellers, 2*time.Duration(w.Pause), w.source("bank", 0).Uint64(), ended)
	if err != nil {
		w.complainf("liveness: %v", err)
	}
	w.bank = b
}

// closeBank has its books compared with the accounts.
func (w *world) closeBank() {
	if w.bank == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), copiedWithin)
	defer cancel()
	n, err := w.bank.Finish(ctx)
	w.trace.Event("clients %d transfers are in %s", n, clients.AccountsTopic)
	if err != nil {
		w.complainf("bank: %v", err)
	}
}
