// Package functional names the modules of IBM/sarama's functional tests: their own and what they are built with. go.mod has the proxy that they reach
// brokers through. See functional_test.go in the folder above.
package functional

import (
	_ "github.com/IBM/sarama"
	_ "github.com/stretchr/testify/require"
)
