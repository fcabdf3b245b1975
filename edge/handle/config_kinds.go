package handle

// What can be configured besides topics and brokers: groups, telemetry subscriptions (KIP-714), and this broker's logger.

import (
	"log/slog"
	"strings"

	"sluice/base"
	"sluice/base/config"
	"sluice/broker/lead"
	"sluice/broker/topicconfig"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
)

// BrokerValues returns what is set for a broker, under Kafka's names: dynamically, or else when it was started.
func BrokerValues(img *meta.Image, node base.NodeID, c *config.Config) map[string]string {
	values := map[string]string{}
	for _, s := range config.Settings() {
		if topicconfig.LookupBroker(s.Name) != nil && c.Origin(s.Name) != "default" {
			values[s.Name] = plainValue(&s, c)
		}
	}
	for k, v := range lead.BrokerConfigs(img, node) {
		values[k] = v
	}
	return values
}

func (h *Handler) brokerValues(img *meta.Image) map[string]string {
	return BrokerValues(img, h.opt.Node.ID, h.opt.Config)
}

// validate checks the settings that a resource is to have.
func (h *Handler) validate(img *meta.Image, kind int8, configs map[string]string) error {
	switch kind {
	case topicResource:
		if err := topicconfig.Validate(configs); err != nil {
			return kerr.Errorf(kerr.InvalidConfig, "%v", err)
		}
	case brokerResource:
		if err := topicconfig.ValidateBroker(configs); err != nil {
			return kerr.Errorf(kerr.InvalidRequest, "%v", err)
		}
	case groupResource:
		if err := topicconfig.ValidateGroup(configs, h.brokerValues(img)); err != nil {
			return kerr.Errorf(kerr.InvalidConfig, "%v", err)
		}
	case clientMetricsResource:
		unknown, err := topicconfig.ValidateClientMetrics(configs)
		switch {
		case unknown:
			return kerr.Errorf(kerr.InvalidRequest, "%v", err)
		case err != nil:
			return kerr.Errorf(kerr.InvalidConfig, "%v", err)
		}
	}
	return nil
}

// groupConfigs describes every setting of a group, whether or not there is such a group.
func (h *Handler) groupConfigs(img *meta.Image, name string) ([]describedConfig, error) {
	if name == "" {
		return nil, kerr.Errorf(kerr.InvalidRequest, "Group name must not be empty")
	}
	own, broker, all := img.Configs(meta.GroupConfig, name), img.NodeConfigs(h.opt.Node.ID), img.NodeConfigs(base.NoNode)
	out := make([]describedConfig, 0, len(topicconfig.Group()))
	for _, def := range topicconfig.Group() {
		c := add(&out)
		fill(c, def)
		if v, ok := own[def.Name]; ok {
			addSynonym(c, def, def.Name, v, sourceGroup)
		}
		for _, s := range def.Synonyms {
			if v, ok := broker[s]; ok {
				addSynonym(c, def, s, v, sourceBroker)
			}
			if v, ok := all[s]; ok {
				addSynonym(c, def, s, v, sourceDefaultBroker)
			}
			if v, source := h.staticConfig(img, s); source == sourceStaticBroker {
				addSynonym(c, def, s, v, source)
			}
			addSynonym(c, def, s, def.Default, sourceDefault)
		}
		if len(def.Synonyms) == 0 {
			addSynonym(c, def, def.Name, def.Default, sourceDefault)
		}
		c.Value, c.ConfigSource = c.Synonyms[0].Value, c.Synonyms[0].Source
	}
	return out, nil
}

// clientMetricsConfigs describes every setting of a telemetry subscription, whether or not there is such a one.
func clientMetricsConfigs(img *meta.Image, name string) ([]describedConfig, error) {
	if name == "" {
		return nil, kerr.Errorf(kerr.InvalidRequest, "Client metrics subscription name must not be empty")
	}
	own := img.Configs(meta.ClientMetricsConfig, name)
	out := make([]describedConfig, 0, len(topicconfig.ClientMetrics()))
	for _, def := range topicconfig.ClientMetrics() {
		c := add(&out)
		fill(c, def)
		c.Value, c.ConfigSource = shown(def, def.Default), sourceDefault
		if v, ok := own[def.Name]; ok {
			addSynonym(c, def, def.Name, v, sourceClientMetrics)
			c.Value, c.ConfigSource = shown(def, v), sourceClientMetrics
		}
	}
	return out, nil
}

// rootLogger is the one logger of a broker, in Kafka's words.
const rootLogger = "root"

// logLevels are the levels that can be set, by Kafka's names; those that this broker does not have are the nearest that it has.
var logLevels = map[string]slog.Level{"TRACE": slog.LevelDebug, "DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "WARN": slog.LevelWarn, "ERROR": slog.LevelError, "FATAL": slog.LevelError}

// loggers describes this broker's logger.
func (h *Handler) loggers(name string) ([]describedConfig, error) {
	if err := h.checkBrokerName(name); err != nil {
		return nil, err
	}
	if h.opt.LogLevel == nil {
		return nil, nil
	}
	var out []describedConfig
	c := add(&out)
	level := h.opt.LogLevel.Level().String()
	c.Name, c.Value, c.ConfigSource, c.ConfigType, c.Documentation = rootLogger, &level, sourceBrokerLogger, int8(topicconfig.String), nil
	s := add(&c.Synonyms)
	s.Name, s.Value, s.Source = rootLogger, &level, sourceBrokerLogger
	return out, nil
}

// alterLoggers changes the level of this broker's logger, until it is started again.
func (h *Handler) alterLoggers(w alteration, validateOnly bool) error {
	if err := h.checkBrokerName(w.name); err != nil {
		return err
	}
	if w.replace {
		return kerr.Errorf(kerr.InvalidRequest, "AlterConfigs is deprecated and does not support the resource type BROKER_LOGGER")
	}
	level, changed := slog.LevelInfo, false
	for _, op := range w.ops {
		switch {
		case op.op != opSet && op.op != opDelete:
			return kerr.Errorf(kerr.InvalidRequest, "Operation %d is not allowed for the BROKER_LOGGER resource", op.op)
		case h.opt.LogLevel == nil || op.name != rootLogger:
			return kerr.Errorf(kerr.InvalidConfig, "Logger %s does not exist! The one that there is is called %s.", op.name, rootLogger)
		case op.op == opDelete:
			return kerr.Errorf(kerr.InvalidRequest, "Removing the log level of the %s logger is not allowed", rootLogger)
		case op.value == nil:
			return kerr.Errorf(kerr.InvalidRequest, "Null value not supported for: %s", op.name)
		}
		var known bool
		if level, known = logLevels[strings.ToUpper(*op.value)]; !known {
			return kerr.Errorf(kerr.InvalidConfig, "Cannot set the log level of %s to %s as it is not a supported log level. Valid log levels are DEBUG, INFO, WARN, ERROR", op.name, *op.value)
		}
		changed = true
	}
	if changed && !validateOnly {
		h.opt.LogLevel.Set(level)
	}
	return nil
}
