package handle

import (
	"sluice/broker/auth"
	"sluice/wire/kerr"
	"sluice/wire/msg"
)

const clusterRefused = int16(kerr.ClusterAuthorizationFailed)

func guardInitProducerID(g *gate, req *msg.InitProducerIdRequest) msg.Message {
	code := kerr.None
	switch {
	case req.TransactionalId != nil:
		if !g.txn(auth.Write, *req.TransactionalId) {
			code = kerr.TransactionalIDAuthorizationFailed
		}
	case !g.may(auth.IdempotentWrite, auth.Cluster, auth.ClusterName) && !g.a.AllowedAny(g.c.session.who, g.c.session.host, auth.Write, auth.Topic):
		g.logRefusal(auth.IdempotentWrite, auth.Cluster, auth.ClusterName)
		code = kerr.ClusterAuthorizationFailed
	}
	if code == kerr.None {
		return nil
	}
	resp := new(msg.InitProducerIdResponse)
	resp.SetDefaults()
	resp.ErrorCode, resp.ProducerId, resp.ProducerEpoch = int16(code), -1, -1
	return resp
}

func guardDescribeCluster(g *gate, req *msg.DescribeClusterRequest) msg.Message {
	if req.IncludeClusterAuthorizedOperations {
		bits := g.clusterBits(g.may(auth.Describe, auth.Cluster, auth.ClusterName))
		g.after(func(m msg.Message) { m.(*msg.DescribeClusterResponse).ClusterAuthorizedOperations = bits })
	}
	return nil
}

func guardCreateAcls(g *gate, req *msg.CreateAclsRequest) msg.Message {
	if g.cluster(auth.Alter) {
		return nil
	}
	resp := new(msg.CreateAclsResponse)
	resp.SetDefaults()
	text := refusalText(kerr.ClusterAuthorizationFailed)
	for range req.Creations {
		out := add(&resp.Results)
		out.ErrorCode, out.ErrorMessage = clusterRefused, &text
	}
	return resp
}

func guardDeleteAcls(g *gate, req *msg.DeleteAclsRequest) msg.Message {
	if g.cluster(auth.Alter) {
		return nil
	}
	resp := new(msg.DeleteAclsResponse)
	resp.SetDefaults()
	text := refusalText(kerr.ClusterAuthorizationFailed)
	for range req.Filters {
		out := add(&resp.FilterResults)
		out.ErrorCode, out.ErrorMessage = clusterRefused, &text
	}
	return resp
}

func guardAlterScram(g *gate, req *msg.AlterUserScramCredentialsRequest) msg.Message {
	if g.cluster(auth.Alter) {
		return nil
	}
	resp := new(msg.AlterUserScramCredentialsResponse)
	resp.SetDefaults()
	text := refusalText(kerr.ClusterAuthorizationFailed)
	refuse := func(user string) {
		out := add(&resp.Results)
		out.User, out.ErrorCode, out.ErrorMessage = user, clusterRefused, &text
	}
	for _, d := range req.Deletions {
		refuse(d.Name)
	}
	for _, u := range req.Upsertions {
		refuse(u.Name)
	}
	return resp
}

// config checks an operation on the configuration of a resource, and returns the error.
func (g *gate) config(op auth.Operation, kind int8, name string) int16 {
	switch kind {
	case topicResource:
		if !g.topic(op, name) {
			return topicRefused
		}
	case groupResource:
		if !g.group(op, name) {
			return groupRefused
		}
	default:
		if !g.cluster(op) {
			return clusterRefused
		}
	}
	return 0
}

// splitConfigs takes the resources that are refused out of a request, and returns them with the codes that they are refused with.
func splitConfigs[T any](all *[]T, check func(*T) int16) (refused []T, codes []int16) {
	refused = split(all, func(r *T) bool {
		code := check(r)
		if code != 0 {
			codes = append(codes, code)
		}
		return code == 0
	})
	return refused, codes
}

func guardDescribeConfigs(g *gate, req *msg.DescribeConfigsRequest) msg.Message {
	rest, codes := splitConfigs(&req.Resources, func(r *msg.DescribeConfigsRequestDescribeConfigsResource) int16 {
		return g.config(auth.DescribeConfigs, r.ResourceType, r.ResourceName)
	})
	if len(rest) == 0 {
		return nil
	}
	g.after(func(m msg.Message) {
		resp := m.(*msg.DescribeConfigsResponse)
		for i, r := range rest {
			out := add(&resp.Results)
			text := refusalText(kerr.Code(codes[i]))
			out.ResourceType, out.ResourceName, out.ErrorCode, out.ErrorMessage = r.ResourceType, r.ResourceName, codes[i], &text
		}
	})
	return nil
}

func guardAlterConfigs(g *gate, req *msg.AlterConfigsRequest) msg.Message {
	rest, codes := splitConfigs(&req.Resources, func(r *msg.AlterConfigsRequestAlterConfigsResource) int16 {
		return g.config(auth.AlterConfigs, r.ResourceType, r.ResourceName)
	})
	if len(rest) == 0 {
		return nil
	}
	g.after(func(m msg.Message) {
		resp := m.(*msg.AlterConfigsResponse)
		for i, r := range rest {
			out := add(&resp.Responses)
			text := refusalText(kerr.Code(codes[i]))
			out.ResourceType, out.ResourceName, out.ErrorCode, out.ErrorMessage = r.ResourceType, r.ResourceName, codes[i], &text
		}
	})
	return nil
}

func guardIncrementalAlterConfigs(g *gate, req *msg.IncrementalAlterConfigsRequest) msg.Message {
	rest, codes := splitConfigs(&req.Resources, func(r *msg.IncrementalAlterConfigsRequestAlterConfigsResource) int16 {
		return g.config(auth.AlterConfigs, r.ResourceType, r.ResourceName)
	})
	if len(rest) == 0 {
		return nil
	}
	g.after(func(m msg.Message) {
		resp := m.(*msg.IncrementalAlterConfigsResponse)
		for i, r := range rest {
			out := add(&resp.Responses)
			text := refusalText(kerr.Code(codes[i]))
			out.ResourceType, out.ResourceName, out.ErrorCode, out.ErrorMessage = r.ResourceType, r.ResourceName, codes[i], &text
		}
	})
	return nil
}

func guardAlterReplicaLogDirs(g *gate, req *msg.AlterReplicaLogDirsRequest) msg.Message {
	if g.cluster(auth.Alter) {
		return nil
	}
	resp := new(msg.AlterReplicaLogDirsResponse)
	resp.SetDefaults()
	for _, dir := range req.Dirs {
		for _, t := range dir.Topics {
			out := add(&resp.Results)
			out.TopicName = t.Name
			for _, index := range t.Partitions {
				p := add(&out.Partitions)
				p.PartitionIndex, p.ErrorCode = index, clusterRefused
			}
		}
	}
	return resp
}
