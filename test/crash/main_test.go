package crash

import (
	"os"
	"testing"

	"sluice/test/s3test"
)

func TestMain(m *testing.M) {
	s3test.SetCredentials()
	os.Exit(m.Run())
}
