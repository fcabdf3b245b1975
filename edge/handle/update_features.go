package handle

// UpdateFeatures (key 57), versions 0-2. The level of metadata.version is the one this release has, and stays; those of other features can be lowered and
// raised again, which changes what clients do. All updates of a request take effect, or none.

import (
	"slices"

	"sluice/cluster/meta"
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
	for i := range req.FeatureUpdates {
		if u := &req.FeatureUpdates[i]; c.Version == 0 {
			u.UpgradeType = featureUpgrade
			if u.AllowDowngrade {
				u.UpgradeType = featureSafeDowngrade
			}
		}
	}
	failed := h.setFeatures(c.Context(), req.FeatureUpdates, req.ValidateOnly)
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

// checkFeature says why an update is refused.
func checkFeature(img *meta.Image, u featureUpdate) error {
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
	f := features[at]
	switch now := featureLevel(img, f); {
	case u.MaxVersionLevel < f.min || u.MaxVersionLevel > f.max:
		return refuse("The cluster supports only another range of this feature.")
	case u.MaxVersionLevel < now && u.UpgradeType == featureUpgrade:
		return refuse("Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.")
	case u.MaxVersionLevel > now && u.UpgradeType != featureUpgrade:
		return refuse("Can't downgrade to a newer version.")
	case u.MaxVersionLevel < f.max && f.name == metadataVersion:
		return refuse("The metadata of this release has one version only.")
	}
	return nil
}
