package objstore

import (
	"context"

	"sluice/base"
)

// The core that is built for simulation leaves the drivers of other clouds out.

func openGS(context.Context, string) (Store, error) {
	return nil, base.Errorf(base.Invalid, "this build has no driver for gs")
}

func openAZ(context.Context, string, Options) (Store, error) {
	return nil, base.Errorf(base.Invalid, "this build has no driver for az")
}
