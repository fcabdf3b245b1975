package node

import (
	"slices"
	"testing"

	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// TestFeatureLevels: a level that was lowered is shown and has its effect, also after a restart, and can be raised again.
func TestFeatureLevels(t *testing.T) {
	c := newCluster(t)
	c.start()
	update := func(want kerr.Code, feature string, level int16, kind int8, validateOnly bool) {
		t.Helper()
		resp := new(msg.UpdateFeaturesResponse)
		c.dial().call(2, &msg.UpdateFeaturesRequest{ValidateOnly: validateOnly, FeatureUpdates: []msg.UpdateFeaturesRequestFeatureUpdateKey{{Feature: feature, MaxVersionLevel: level, UpgradeType: kind}}}, resp)
		if got := kerr.Code(resp.ErrorCode); got != want {
			t.Fatalf("%s to %d: %v, want %v", feature, level, got, want)
		}
	}
	level := func(feature string) int16 {
		t.Helper()
		resp := new(msg.ApiVersionsResponse)
		c.dial().call(4, &msg.ApiVersionsRequest{ClientSoftwareName: "test", ClientSoftwareVersion: "1.0"}, resp)
		for _, f := range resp.FinalizedFeatures {
			if f.Name == feature {
				return f.MaxVersionLevel
			}
		}
		return 0
	}
	heartbeat := func() kerr.Code {
		t.Helper()
		resp := new(msg.ConsumerGroupHeartbeatResponse)
		c.dial().call(1, &msg.ConsumerGroupHeartbeatRequest{}, resp)
		return kerr.Code(resp.ErrorCode)
	}
	describe := func() kerr.Code {
		t.Helper()
		resp := new(msg.ConsumerGroupDescribeResponse)
		c.dial().call(1, &msg.ConsumerGroupDescribeRequest{GroupIds: []string{"g"}}, resp)
		if len(resp.Groups) != 1 || resp.Groups[0].GroupId != "g" {
			t.Fatalf("%+v", resp)
		}
		return kerr.Code(resp.Groups[0].ErrorCode)
	}
	const upgrade, safe = 1, 2
	if level("group.version") != 1 || heartbeat() == kerr.UnsupportedVersion {
		t.Fatal("a new cluster has the newest level")
	}
	update(kerr.InvalidUpdateVersion, "group.version", 0, upgrade, false)
	update(kerr.None, "group.version", 0, safe, true)
	if level("group.version") != 1 {
		t.Fatal("it was only to be seen")
	}
	update(kerr.None, "group.version", 0, safe, false)
	update(kerr.None, "transaction.version", 1, safe, false)
	c.stop()
	c.start()
	if level("group.version") != 0 || level("transaction.version") != 1 || heartbeat() != kerr.UnsupportedVersion {
		t.Fatal(level("group.version"), level("transaction.version"), heartbeat())
	}
	if code := describe(); code != kerr.UnsupportedVersion {
		t.Fatal(code)
	}
	update(kerr.None, "share.version", 0, safe, false)
	shares := new(msg.ShareGroupDescribeResponse)
	c.dial().call(1, &msg.ShareGroupDescribeRequest{GroupIds: []string{"g"}}, shares)
	if len(shares.Groups) != 1 || shares.Groups[0].GroupId != "g" || kerr.Code(shares.Groups[0].ErrorCode) != kerr.UnsupportedVersion {
		t.Fatalf("%+v", shares)
	}
	update(kerr.InvalidUpdateVersion, "group.version", 1, safe, false)
	update(kerr.None, "group.version", 1, upgrade, false)
	if level("group.version") != 1 || heartbeat() == kerr.UnsupportedVersion {
		t.Fatal("it was raised again")
	}
}

// TestFeaturesOfOldVersions: version 3 leaves out what some clients cannot read, supported features whose lowest level is 0, and nothing else.
func TestFeaturesOfOldVersions(t *testing.T) {
	c := newCluster(t)
	c.start()
	var old, now msg.ApiVersionsResponse
	c.dial().call(3, &msg.ApiVersionsRequest{ClientSoftwareName: "test", ClientSoftwareVersion: "1.0"}, &old)
	c.dial().call(4, &msg.ApiVersionsRequest{ClientSoftwareName: "test", ClientSoftwareVersion: "1.0"}, &now)
	if len(now.FinalizedFeatures) < 4 || !slices.Equal(old.FinalizedFeatures, now.FinalizedFeatures) {
		t.Errorf("finalized: version 3 tells %v, version 4 %v", old.FinalizedFeatures, now.FinalizedFeatures)
	}
	if len(old.SupportedFeatures) != 1 || len(now.SupportedFeatures) < 4 {
		t.Errorf("supported: version 3 tells %v, version 4 %v", old.SupportedFeatures, now.SupportedFeatures)
	}
}
