package handle

// DescribeConfigs (key 32), versions 1-4: topics, brokers, groups and telemetry subscriptions. All settings that Kafka knows are
// shown, also those without effect here; of a broker's settings those that this broker has itself show its own values.
// A broker has one logger, called root.

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"sluice/base"
	"sluice/base/config"
	"sluice/broker/lead"
	"sluice/broker/topicconfig"
	"sluice/cluster/meta"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

// Sources of a configuration value.
const (
	sourceTopic         int8 = 1
	sourceBroker        int8 = 2
	sourceDefaultBroker int8 = 3
	sourceStaticBroker  int8 = 4
	sourceDefault       int8 = 5
	sourceBrokerLogger  int8 = 6
	sourceClientMetrics int8 = 7
	sourceGroup         int8 = 8
)

type (
	describedResource = msg.DescribeConfigsResponseDescribeConfigsResult
	describedConfig   = msg.DescribeConfigsResponseDescribeConfigsResourceResult
)

func (h *Handler) describeConfigs(_ *call, req *msg.DescribeConfigsRequest) *msg.DescribeConfigsResponse {
	img := h.opt.Control.Image()
	resp := new(msg.DescribeConfigsResponse)
	resp.SetDefaults()
	strange := slices.IndexFunc(req.Resources, func(r msg.DescribeConfigsRequestDescribeConfigsResource) bool { return !describable(r.ResourceType) })
	for i := range req.Resources {
		asked := &req.Resources[i]
		out := add(&resp.Results)
		out.ResourceType, out.ResourceName = asked.ResourceType, asked.ResourceName
		if strange >= 0 { // then Kafka tells nothing at all
			asked.ResourceType = req.Resources[strange].ResourceType
		}
		configs, err := h.describeResource(img, asked.ResourceType, asked.ResourceName)
		if err != nil {
			out.ErrorCode, out.ErrorMessage = int16(codeOf(err)), messageOf(err)
			continue
		}
		for _, c := range configs {
			if len(asked.ConfigurationKeys) > 0 && !slices.Contains(asked.ConfigurationKeys, c.Name) {
				continue
			}
			if !req.IncludeSynonyms {
				c.Synonyms = nil
			}
			if !req.IncludeDocumentation {
				c.Documentation = nil
			}
			out.Configs = append(out.Configs, c)
		}
	}
	return resp
}

func describable(kind int8) bool {
	return slices.Contains([]int8{topicResource, brokerResource, brokerLoggerResource, clientMetricsResource, groupResource}, kind)
}

func (h *Handler) describeResource(img *meta.Image, kind int8, name string) ([]describedConfig, error) {
	switch kind {
	case topicResource:
		if r := meta.CheckTopicName(name); r != nil {
			return nil, r
		}
		topic, ok := img.TopicByName(name)
		if !ok {
			return nil, kerr.UnknownTopicOrPartition.Err()
		}
		return h.topicConfigs(img, topic), nil
	case brokerResource:
		return h.brokerConfigs(img, name)
	case brokerLoggerResource:
		return h.loggers(name)
	case clientMetricsResource:
		return clientMetricsConfigs(img, name)
	case groupResource:
		return h.groupConfigs(img, name)
	}
	return nil, kerr.Errorf(kerr.InvalidRequest, "Unsupported resource type %d", kind)
}

// topicConfigs describes every setting of a topic.
func (h *Handler) topicConfigs(img *meta.Image, topic meta.Topic) []describedConfig {
	broker := lead.BrokerConfigs(img, h.opt.Node.ID)
	own, all := img.NodeConfigs(h.opt.Node.ID), img.NodeConfigs(base.NoNode)
	out := make([]describedConfig, 0, len(topicconfig.Topic()))
	for _, def := range topicconfig.Topic() {
		v := def.Resolve(topic.Configs, broker)
		if _, set := topic.Configs[def.Name]; def.Hidden() && !set {
			continue
		}
		c := add(&out)
		fill(c, def)
		c.Value, c.ConfigSource = shown(def, v.Value), int8(v.Source)
		if set, ok := topic.Configs[def.Name]; ok {
			addSynonym(c, def, def.Name, set, sourceTopic)
		}
		for _, name := range def.Synonyms {
			if set, ok := own[name]; ok {
				addSynonym(c, def, name, set, sourceBroker)
			}
			if set, ok := all[name]; ok {
				addSynonym(c, def, name, set, sourceDefaultBroker)
			}
		}
		if _, ok := own[v.Via]; v.Source == topicconfig.FromDynamicBroker && !ok {
			c.ConfigSource = sourceDefaultBroker
		}
		if len(def.Synonyms) > 0 {
			if first := topicconfig.LookupBroker(def.Synonyms[0]); first != nil && first.HasDefault { // that of a setting without one is told by another of the broker's
				addSynonym(c, def, first.Name, first.Default, sourceDefault)
			}
		}
	}
	return out
}

// brokerConfigs describes this broker, or with an empty name what was set for all brokers.
func (h *Handler) brokerConfigs(img *meta.Image, name string) ([]describedConfig, error) {
	all := img.NodeConfigs(base.NoNode)
	if name == "" {
		return plainConfigs(all, sourceDefaultBroker), nil
	}
	if err := h.checkBrokerName(name); err != nil {
		return nil, err
	}
	own := img.Configs(meta.BrokerConfig, name)
	out := make([]describedConfig, 0, len(topicconfig.Broker()))
	for _, def := range topicconfig.Broker() {
		if def.Hidden() && own[def.Name] == "" && all[def.Name] == "" {
			continue
		}
		c := add(&out)
		fill(c, def)
		c.ReadOnly = !def.Dynamic
		if v, ok := own[def.Name]; ok {
			addSynonym(c, def, def.Name, v, sourceBroker)
		}
		if v, ok := all[def.Name]; ok {
			addSynonym(c, def, def.Name, v, sourceDefaultBroker)
		}
		if v, source := h.staticConfig(img, def.Name); source != 0 {
			addSynonym(c, def, def.Name, v, source)
		} else if def.HasDefault && !def.Hidden() {
			addSynonym(c, def, def.Name, def.Default, sourceDefault)
		}
		c.ConfigSource = sourceDefault
		if len(c.Synonyms) > 0 {
			c.Value, c.ConfigSource = c.Synonyms[0].Value, c.Synonyms[0].Source
		}
	}
	return append(out, foreignConfigs(own, all)...), nil
}

// foreignConfigs describes what was set of a broker, or of all, that is no setting by its name: it is said of one listener, or nobody knows it.
func foreignConfigs(own, all map[string]string) []describedConfig {
	known := func(name, _ string) bool {
		def := topicconfig.LookupBroker(name)
		return def != nil && def.Name == name
	}
	own, all = maps.Clone(own), maps.Clone(all)
	maps.DeleteFunc(own, known)
	maps.DeleteFunc(all, known)
	out := plainConfigs(own, sourceBroker)
	for _, c := range plainConfigs(all, sourceDefaultBroker) {
		if at := slices.IndexFunc(out, func(o describedConfig) bool { return o.Name == c.Name }); at >= 0 {
			out[at].Synonyms = append(out[at].Synonyms, c.Synonyms...)
			continue
		}
		out = append(out, c)
	}
	return out
}

func (h *Handler) checkBrokerName(name string) error {
	if id, err := strconv.ParseInt(name, 10, 32); err != nil || base.NodeID(id) != h.opt.Node.ID {
		return kerr.Errorf(kerr.InvalidRequest, "Unexpected broker id, expected %v, but received %s", h.opt.Node.ID, name)
	}
	return nil
}

// staticConfig returns the value this process has for a setting of Kafka's, and 0 if it has none.
func (h *Handler) staticConfig(img *meta.Image, name string) (value string, source int8) {
	self, _ := img.Node(h.opt.Node.ID)
	switch name {
	case "broker.id", "node.id":
		return h.opt.Node.ID.String(), sourceStaticBroker
	case "broker.rack":
		if self.Zone == "" {
			return "", 0
		}
		return self.Zone, sourceStaticBroker
	case "listeners":
		return "PLAINTEXT://" + h.opt.Config.Listen, sourceStaticBroker
	case "advertised.listeners":
		var urls []string
		for _, e := range self.Endpoints {
			urls = append(urls, e.Name+"://"+e.Host+":"+strconv.Itoa(int(e.Port)))
		}
		return strings.Join(urls, ","), sourceStaticBroker
	case "log.dir", "log.dirs":
		return h.opt.LogDir, sourceStaticBroker
	}
	s := config.Find(name)
	if s == nil || s.Name != name {
		return "", 0
	}
	value = plainValue(s, h.opt.Config)
	if h.opt.Config.Origin(name) != "default" {
		return value, sourceStaticBroker
	}
	return value, sourceDefault
}

// plainValue is the value of a setting as Kafka writes it.
func plainValue(s *config.Setting, c *config.Config) string {
	value := s.Value(c)
	if s.Kind == config.Size {
		n, _ := config.ParseBytes(value)
		value = strconv.FormatInt(int64(n), 10)
	}
	return value
}

// fill sets what a setting's definition says.
func fill(c *describedConfig, def *topicconfig.Def) {
	c.Name, c.Value, c.IsSensitive, c.ConfigType, c.Documentation = def.Name, nil, def.Sensitive(), int8(def.Type), nil
	if def.Doc != "" {
		c.Documentation = &def.Doc
	}
}

// shown is the value as a client may see it: null where there is none, and where it is a secret.
func shown(def *topicconfig.Def, value string) *string {
	if def.Sensitive() || value == "" && !def.HasDefault {
		return nil
	}
	return &value
}

func addSynonym(c *describedConfig, def *topicconfig.Def, name, value string, source int8) {
	s := add(&c.Synonyms)
	s.Name, s.Value, s.Source = name, shown(def, value), source
}

// plainConfigs describes settings of brokers as they were set. What nobody knows may be a secret, and is not shown.
func plainConfigs(configs map[string]string, source int8) []describedConfig {
	out := make([]describedConfig, 0, len(configs))
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		c := add(&out)
		if def := topicconfig.LookupBroker(name); def != nil {
			fill(c, def)
			c.Value = shown(def, configs[name])
		} else {
			c.Value, c.IsSensitive, c.ReadOnly, c.ConfigType, c.Documentation = nil, true, true, unknownType, nil
		}
		c.Name, c.ConfigSource = name, source
		s := add(&c.Synonyms)
		s.Name, s.Value, s.Source = name, c.Value, source
	}
	return out
}

// unknownType is Kafka's type of a setting that it does not know.
const unknownType int8 = 0
