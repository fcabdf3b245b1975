package handle

// The levels of features, as ApiVersions shows and UpdateFeatures sets them. Levels that were set are kept in the metadata; what nobody has set is at the
// highest level this release knows.

import (
	"context"
	"maps"
	"strconv"

	"sluice/cluster/control"
	"sluice/cluster/meta"
)

// featureLevel returns the level of a feature.
func featureLevel(img *meta.Image, f feature) int16 {
	n, err := strconv.ParseInt(img.Configs(meta.FeatureConfig, "")[f.name], 10, 16)
	if err != nil {
		return f.max
	}
	return min(int16(n), f.max) // a newer release may have known more
}

// FeatureLevel returns the level of a feature, 0 if there is no such feature.
func FeatureLevel(img *meta.Image, name string) int16 {
	for _, f := range features {
		if f.name == name {
			return featureLevel(img, f)
		}
	}
	return 0
}

// setFeatures sets levels, all of them or none. When others do so at the same time it begins anew.
func (h *Handler) setFeatures(ctx context.Context, updates []featureUpdate, validateOnly bool) error {
	for attempt := 0; ; attempt++ {
		img := h.opt.Control.Image()
		var change meta.ConfigChange
		old := present(img, meta.FeatureConfig, &change)
		change.Configs = map[string]string{}
		maps.Copy(change.Configs, old)
		for _, u := range updates {
			if err := checkFeature(img, u); err != nil {
				return err
			}
			if u.MaxVersionLevel != FeatureLevel(img, u.Feature) {
				change.Configs[u.Feature] = strconv.Itoa(int(u.MaxVersionLevel))
			}
		}
		if maps.Equal(change.Configs, old) {
			return nil
		}
		res, err := control.Do[meta.Outcomes](ctx, h.opt.Control, &meta.AlterConfigs{Changes: []meta.ConfigChange{change}, ValidateOnly: validateOnly})
		if err == nil {
			err = refusal(res.Errs[0])
		}
		if !h.again(ctx, err, img, attempt) {
			return err
		}
	}
}
