// Package franz holds the version of franz-go whose own test suite runs against sluice: see TestFranzSuite in test/compat.
package franz

import _ "github.com/twmb/franz-go/pkg/kgo"
