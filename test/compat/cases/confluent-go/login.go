package main

import (
	"context"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
	"suite"
)

// Login says how to connect by librdkafka's settings, for the producer and the consumer each.
func (c *client) Login(ctx context.Context, s suite.Secure, topic, value string) (string, error) {
	protocol := map[bool]map[bool]string{false: {false: "plaintext", true: "ssl"}, true: {false: "sasl_plaintext", true: "sasl_ssl"}}[s.Mechanism != ""][s.CA != ""]
	conf := kafka.ConfigMap{"bootstrap.servers": s.Addr, "security.protocol": protocol, "log_level": 0}
	if s.CA != "" {
		conf["ssl.ca.location"] = s.CA
	}
	if s.Cert != "" {
		conf["ssl.certificate.location"], conf["ssl.key.location"] = s.Cert, s.Cert
	}
	switch s.Mechanism {
	case "":
	case "OAUTHBEARER":
		conf["sasl.mechanisms"] = s.Mechanism
	default:
		conf["sasl.mechanisms"], conf["sasl.username"], conf["sasl.password"] = s.Mechanism, s.User, s.Password
	}
	producer, err := kafka.NewProducer(with(conf, kafka.ConfigMap{"delivery.timeout.ms": 10_000, "linger.ms": 0}))
	if err != nil {
		return "", err
	}
	defer producer.Close()
	if s.Mechanism == "OAUTHBEARER" {
		if err := producer.SetOAuthBearerToken(bearer(s)); err != nil {
			return "", err
		}
	}
	got, err := send(ctx, producer, []suite.Record{{Topic: topic, Value: []byte(value)}})
	if err != nil {
		return "", refusal(producer, err)
	}
	one, err := kafka.NewConsumer(with(conf, kafka.ConfigMap{"group.id": "nobody", "auto.offset.reset": "error", "enable.auto.commit": false}))
	if err != nil {
		return "", err
	}
	defer one.Close()
	if s.Mechanism == "OAUTHBEARER" {
		if err := one.SetOAuthBearerToken(bearer(s)); err != nil {
			return "", err
		}
	}
	if err := one.Assign([]kafka.TopicPartition{partition(topic, 0, got[0].Offset)}); err != nil {
		return "", err
	}
	m, err := one.ReadMessage(15 * time.Second)
	if err != nil {
		return "", err
	}
	return string(m.Value), nil
}

// refusal is why a producer could not connect, if it was told, in place of the time that has passed.
func refusal(producer *kafka.Producer, err error) error {
	for {
		select {
		case e := <-producer.Events():
			if ke, ok := e.(kafka.Error); ok && ke.Code() == kafka.ErrAuthentication {
				return kafka.NewError(kafka.ErrSaslAuthenticationFailed, ke.Error(), false)
			}
		default:
			return err
		}
	}
}

func with(a, b kafka.ConfigMap) *kafka.ConfigMap {
	all := kafka.ConfigMap{}
	for _, m := range []kafka.ConfigMap{a, b} {
		for k, v := range m {
			all[k] = v
		}
	}
	return &all
}

func bearer(s suite.Secure) kafka.OAuthBearerToken {
	return kafka.OAuthBearerToken{TokenValue: s.Password, Expiration: time.Now().Add(time.Hour), Principal: "dave"}
}
