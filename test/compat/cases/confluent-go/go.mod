module confluent-go-cases

go 1.26.8

require (
	github.com/confluentinc/confluent-kafka-go/v2 v2.11.1
	suite v0.0.0
)

replace suite => ../suite
