module franz-go-cases

go 1.26.8

require (
	github.com/twmb/franz-go v1.15.3
	github.com/twmb/franz-go/pkg/kadm v1.10.0
	github.com/twmb/franz-go/pkg/kmsg v1.7.0
	suite v0.0.0
)

require (
	github.com/klauspost/compress v1.17.0 // indirect
	github.com/pierrec/lz4/v4 v4.1.18 // indirect
	golang.org/x/crypto v0.13.0 // indirect
)

replace suite => ../suite
