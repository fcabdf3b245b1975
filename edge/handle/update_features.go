package handle

// UpdateFeatures (key 57), versions 0-2. The level of metadata.version is the one this release has, and there is no other feature, so an
// update to that level is accepted and changes nothing, and every other is refused in Kafka's words.

import (
	"slices"

	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// Types of update.
const (
	featureUpgrade         int8 = 1
	featureSafeDowngrade   int8 = 2
	featureUnsafeDowngrade int8 = 3
)

type featureUpdate = msg.UpdateFeaturesRequestFeatureUpdateKey

func (h *Handler) updateFeatures(c *call, req *msg.UpdateFeaturesRequest) *msg.UpdateFeaturesResponse {
	resp := new(msg.UpdateFeaturesResponse)
	resp.SetDefaults()
	resp.ErrorMessage = nil
	var failed error
	for _, u := range req.FeatureUpdates {
		if c.Version == 0 {
			u.UpgradeType = featureUpgrade
			if u.AllowDowngrade {
				u.UpgradeType = featureSafeDowngrade
			}
		}
		if failed = updateFeature(u); failed != nil {
			break // one that fails fails them all
		}
	}
	resp.ErrorCode, resp.ErrorMessage = int16(codeOf(failed)), messageOf(failed)
	if failed == nil && c.Version <= 1 {
		none := kerr.None.String() // as Kafka has it
		for _, u := range req.FeatureUpdates {
			out := add(&resp.Results)
			out.Feature, out.ErrorMessage = u.Feature, &none
		}
	}
	return resp
}

// updateFeature says why the update is refused, nil if it changes nothing.
func updateFeature(u featureUpdate) error {
	refuse := func(why string) error {
		return kerr.Errorf(kerr.InvalidUpdateVersion, "Invalid update version %d for feature %s. %s", u.MaxVersionLevel, u.Feature, why)
	}
	at := slices.IndexFunc(features, func(f feature) bool { return f.name == u.Feature })
	switch {
	case u.UpgradeType < featureUpgrade || u.UpgradeType > featureUnsafeDowngrade:
		return refuse("The controller does not support the given upgrade type.")
	case u.MaxVersionLevel < 0:
		return refuse("A feature version cannot be less than 0.")
	case at < 0:
		return refuse("The cluster does not support this feature.")
	}
	switch f := features[at]; {
	case u.MaxVersionLevel < f.min || u.MaxVersionLevel > f.max:
		return refuse("The cluster supports only another range of this feature.")
	case u.MaxVersionLevel < f.max && u.UpgradeType == featureUpgrade:
		return refuse("Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.")
	case u.MaxVersionLevel < f.max:
		return refuse("The metadata of this release has one version only.")
	}
	return nil
}
