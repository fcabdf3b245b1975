package main

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"

	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"
	"suite"
)

// conversation is sarama's interface to a SCRAM of one's choice.
type conversation struct {
	hash scram.HashGeneratorFcn
	*scram.ClientConversation
}

func (c *conversation) Begin(user, password, authzID string) error {
	client, err := c.hash.NewClient(user, password, authzID)
	if err == nil {
		c.ClientConversation = client.NewConversation()
	}
	return err
}

type token string

func (t token) Token() (*sarama.AccessToken, error) {
	return &sarama.AccessToken{Token: string(t)}, nil
}

func (c *client) Login(ctx context.Context, s suite.Secure, topic, value string) (_ string, err error) {
	cfg := config()
	cfg.Metadata.Retry.Max = 1
	if cfg.Net.TLS.Config, err = s.TLS(); err != nil {
		return "", err
	}
	cfg.Net.TLS.Enable = cfg.Net.TLS.Config != nil
	cfg.Net.SASL.Enable, cfg.Net.SASL.Mechanism = s.Mechanism != "", sarama.SASLMechanism(s.Mechanism)
	cfg.Net.SASL.User, cfg.Net.SASL.Password, cfg.Net.SASL.Version = s.User, s.Password, sarama.SASLHandshakeV1
	switch s.Mechanism {
	case sarama.SASLTypeSCRAMSHA256:
		cfg.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &conversation{hash: sha256.New} }
	case sarama.SASLTypeSCRAMSHA512:
		cfg.Net.SASL.SCRAMClientGeneratorFunc = func() sarama.SCRAMClient { return &conversation{hash: sha512.New} }
	case sarama.SASLTypeOAuth:
		cfg.Net.SASL.TokenProvider = token(s.Password)
	}
	cl, err := sarama.NewClient([]string{s.Addr}, cfg)
	if err != nil {
		return "", err
	}
	defer cl.Close()
	producer, err := sarama.NewSyncProducerFromClient(cl)
	if err != nil {
		return "", err
	}
	defer producer.Close()
	_, offset, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value)})
	if err != nil {
		return "", err
	}
	consumer, err := sarama.NewConsumerFromClient(cl)
	if err != nil {
		return "", err
	}
	defer consumer.Close()
	part, err := consumer.ConsumePartition(topic, 0, offset)
	if err != nil {
		return "", err
	}
	defer part.Close()
	select {
	case m := <-part.Messages():
		return string(m.Value), nil
	case err := <-part.Errors():
		return "", err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
