package driver_test

import (
	"context"
	"testing"

	"sluice/storage/objstore/driver"
)

func TestPurposesAndSharesTravelTogether(t *testing.T) {
	ctx := t.Context()
	if p := driver.PurposeOf(ctx); p != driver.PurposeOther || driver.SharesOf(ctx) != nil {
		t.Fatalf("an untagged context: %v, %v", p, driver.SharesOf(ctx))
	}
	shares := []driver.Share{{Stream: 7, Bytes: 100}}
	ctx = driver.WithShares(ctx, shares)
	if p := driver.PurposeOf(ctx); p != driver.PurposeOther {
		t.Fatalf("shares brought the purpose %v", p)
	}
	ctx = driver.WithPurpose(ctx, driver.PurposeUpload)
	child, cancel := context.WithCancel(ctx)
	defer cancel()
	inner := driver.WithPurpose(child, driver.PurposeDelete)
	for _, c := range []struct {
		ctx  context.Context
		want driver.Purpose
	}{{ctx, driver.PurposeUpload}, {child, driver.PurposeUpload}, {inner, driver.PurposeDelete}} {
		if p, s := driver.PurposeOf(c.ctx), driver.SharesOf(c.ctx); p != c.want || len(s) != 1 || s[0] != shares[0] {
			t.Errorf("got %v with %v, want %v with %v", p, s, c.want, shares)
		}
	}
	if s := driver.SharesOf(driver.WithShares(inner, nil)); s != nil {
		t.Errorf("nearer shares do not count: %v", s)
	}
	cancel()
	if inner.Err() == nil {
		t.Error("the tag hides the end of its context")
	}
}

func TestPurposeNames(t *testing.T) {
	seen := map[string]bool{}
	for p := range driver.PurposeEnd {
		if p.String() == "" || seen[p.String()] {
			t.Errorf("purpose %d has the name %q, which is empty or taken", p, p)
		}
		seen[p.String()] = true
	}
	if driver.PurposeEnd.String() != "invalid" {
		t.Error("what is no purpose has a name")
	}
}

func TestLookingUpATagDoesNotAllocate(t *testing.T) {
	ctx := driver.WithShares(driver.WithPurpose(t.Context(), driver.PurposeWAL), []driver.Share{{Stream: 1, Bytes: 1}})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if n := testing.AllocsPerRun(100, func() {
		if driver.PurposeOf(ctx) != driver.PurposeWAL || len(driver.SharesOf(ctx)) != 1 {
			t.Fatal("lost")
		}
		if driver.WithPurpose(ctx, driver.PurposeWAL) != ctx {
			t.Fatal("tagged twice")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
