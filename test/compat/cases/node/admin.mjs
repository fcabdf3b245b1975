// Cases about admin calls, and about the errors they get.
import kafkajs from 'kafkajs'
import { Member, admin, deleteRecords, filled, known, producer, send, topic, watcher } from './kafkajs.mjs'
import { add, bootstrap, check, lacks, name, numbers, refused, until } from './runner.mjs'

const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ConfigResourceTypes, ResourcePatternTypes } = kafkajs
const create = (t, more = {}, options = {}) => admin.createTopics({ waitForLeaders: false, ...options, topics: [{ topic: t, numPartitions: 1, replicationFactor: 1, ...more }] })
const partitions = async t => (await watcher.fetchTopicMetadata({ topics: [t] })).topics[0].partitions

add('admin-topics/create-and-describe', async () => {
  const t = await topic('created', 3), found = await partitions(t)
  check(found.map(p => p.partitionId).sort(), [0, 1, 2], 'partitions')
  for (const p of found) check([p.replicas.length, p.isr.length, p.replicas[0]], [1, 1, p.leader], 'replicas')
})
add('admin-topics/list', async () => { const t = await topic('listed'); await until(async () => (await admin.listTopics()).includes(t), 'the topic to be listed') })
add('admin-topics/delete', async () => {
  const t = await topic('deleted')
  await admin.deleteTopics({ topics: [t] })
  await until(async () => !(await admin.listTopics()).includes(t), 'the topic to go')
})
add('admin-topics/create-validate-only', async () => {
  await create(name('validated'), {}, { validateOnly: true })
  check((await admin.listTopics()).includes(name('validated')), false, 'the topic was made, it')
})
add('admin-topics/default-partitions-and-replicas', async () => {
  await create(name('defaults'), { numPartitions: -1, replicationFactor: -1 })
  await known(name('defaults'), 1)
  check((await partitions(name('defaults'))).length, 1, 'partitions')
})
add('admin-topics/create-partitions', async () => {
  const t = await topic('grown', 2)
  await admin.createPartitions({ topicPartitions: [{ topic: t, count: 5 }] })
  await until(async () => (await partitions(t)).length === 5, 'the new partitions')
})
add('admin-topics/delete-records', async () => {
  const t = await filled('recordsdeleted')
  await deleteRecords(t, '4')
  check((await admin.fetchTopicOffsets(t))[0].low, '4', 'first offset')
  await deleteRecords(t, '-1')
  check((await admin.fetchTopicOffsets(t))[0].low, '10', 'first offset')
})

add('errors/topic-exists', async () => {
  const t = await topic('exists')
  check(await admin.createTopics({ topics: [{ topic: t }] }), false, 'what the client says')
})
for (const [what, type, call] of [
  ['invalid-topic-name', 'INVALID_TOPIC_EXCEPTION', () => create('no spaces')],
  ['long-topic-name', 'INVALID_TOPIC_EXCEPTION', () => create('x'.repeat(250))],
  ['invalid-replication-factor', 'INVALID_REPLICATION_FACTOR', () => create(name('replicas'), { replicationFactor: 30 })],
  ['invalid-partition-count', 'INVALID_PARTITIONS', () => create(name('none'), { numPartitions: 0 })],
  ['invalid-config-value', 'INVALID_CONFIG', () => create(name('bad'), { configEntries: [{ name: 'retention.ms', value: 'soon' }] })],
  ['unknown-config', 'INVALID_CONFIG', () => create(name('bad'), { configEntries: [{ name: 'no.such.config', value: '1' }] })],
  ['delete-unknown-topic', 'UNKNOWN_TOPIC_OR_PARTITION', () => admin.deleteTopics({ topics: [name('nosuch')] })],
  ['fewer-partitions', 'INVALID_PARTITIONS', async () => admin.createPartitions({ topicPartitions: [{ topic: await topic('fewer', 3), count: 2 }] })],
  ['delete-records-beyond-the-end', 'OFFSET_OUT_OF_RANGE', null],
  ['describe-config-of-unknown-topic', 'UNKNOWN_TOPIC_OR_PARTITION', () => configs(ConfigResourceTypes.TOPIC, name('nosuch'))],
  ['alter-config-invalid-value', 'INVALID_CONFIG', async () => alter(await topic('altered-bad'), { 'retention.ms': 'soon' })],
  ['delete-unknown-group', 'GROUP_ID_NOT_FOUND', () => admin.deleteGroups([name('nosuch')])],
  ['delete-group-with-members', 'NON_EMPTY_GROUP', async () => {
    const t = await filled('gfull'), m = await new Member(name('g-full')).run([t])
    await until(() => m.assigned.length === 1, 'an assignment')
    try { await admin.deleteGroups([name('g-full')]) } catch (e) { throw e.groups?.[0]?.error ?? e } finally { await m.leave() }
  }]])
  add(`errors/${what}`, call ? () => refused(type, async () => {
    try { return await call() } catch (e) { throw e.groups?.[0]?.error ?? e }
  }) : async () => lacks('error for that, it asks for the end first'))

async function configs(type, resource) {
  const { resources: [r] } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type, name: resource }] })
  return Object.fromEntries(r.configEntries.map(e => [e.configName, e.configValue]))
}
const alter = (t, values) => admin.alterConfigs({ validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: t,
  configEntries: Object.entries(values).map(([name, value]) => ({ name, value })) }] })

add('admin-topics/create-with-config', async () => {
  const found = await configs(ConfigResourceTypes.TOPIC, await topic('configured', 1, { 'retention.ms': 12345678, 'cleanup.policy': 'compact' }))
  check([found['retention.ms'], found['cleanup.policy']], ['12345678', 'compact'])
})
add('admin-configs/describe-topic-defaults', async () => {
  const found = await configs(ConfigResourceTypes.TOPIC, await topic('plain'))
  const want = { 'retention.ms': '604800000', 'cleanup.policy': 'delete', 'max.message.bytes': '1048588', 'compression.type': 'producer',
    'message.timestamp.type': 'CreateTime', 'min.insync.replicas': '1' }
  check(Object.fromEntries(Object.keys(want).map(n => [n, found[n]])), want, 'configs')
})
add('admin-configs/describe-broker', async () => {
  const found = await configs(ConfigResourceTypes.BROKER, `${(await admin.describeCluster()).brokers[0].nodeId}`)
  check(found['num.partitions'], '1', 'num.partitions')
})
add('admin-configs/replace-all', async () => {
  const t = await topic('replaced', 1, { 'retention.ms': 999 })
  await alter(t, { 'max.message.bytes': '6000' })
  await until(async () => (await configs(ConfigResourceTypes.TOPIC, t))['max.message.bytes'] === '6000', 'the new value')
  check((await configs(ConfigResourceTypes.TOPIC, t))['retention.ms'], '604800000', 'retention.ms')
})

async function committed(what, offset) {
  const t = await filled(what), groupId = name(`g-${what}`)
  await admin.setOffsets({ groupId, topic: t, partitions: [{ partition: 0, offset: `${offset}` }] })
  return { t, groupId, offset: async () => (await admin.fetchOffsets({ groupId, topics: [t] }))[0].partitions[0].offset }
}
add('admin-groups/list', async () => {
  const { groupId } = await committed('glisted', 4)
  check((await admin.listGroups()).groups.some(g => g.groupId === groupId), true, 'the group is listed, it')
})
add('admin-groups/describe-empty', async () => {
  const { groupId } = await committed('gdescribed', 4), [g] = (await admin.describeGroups([groupId])).groups
  check([g.state, g.members.length], ['Empty', 0])
})
add('admin-groups/delete', async () => {
  const { groupId } = await committed('gdeleted', 4)
  await admin.deleteGroups([groupId])
  check((await admin.listGroups()).groups.some(g => g.groupId === groupId), false, 'the group is listed, it')
})
add('admin-offsets/alter-group-offsets', async () => {
  const g = await committed('galter', 7)
  check(await g.offset(), '7', 'offset')
  await admin.setOffsets({ groupId: g.groupId, topic: g.t, partitions: [{ partition: 0, offset: '2' }] })
  check(await g.offset(), '2', 'offset')
})
add('admin-offsets/reset-to-earliest-and-latest', async () => {
  const g = await committed('greset', 7)
  for (const earliest of [true, false]) {
    await admin.resetOffsets({ groupId: g.groupId, topic: g.t, earliest })
    const found = (await admin.fetchOffsets({ groupId: g.groupId, topics: [g.t], resolveOffsets: true }))[0].partitions[0].offset
    check(found, earliest ? '0' : '10', 'offset')
  }
})
add('admin-offsets/earliest-and-latest', async () => {
  const [p] = await admin.fetchTopicOffsets(await filled('specs'))
  check([p.low, p.high], ['0', '10'], 'offsets')
})
add('admin-offsets/for-a-time', async () => {
  const t = await topic('fortime')
  for (const ms of [5, 7, 9]) await send(t, [{ value: 'v', partition: 0, timestamp: `${1700000000000 + ms}` }])
  check((await admin.fetchTopicOffsetsByTimestamp(t, 1700000000006))[0].offset, '1', 'offset')
})

const acl = { resourceType: AclResourceTypes.TOPIC, resourceName: name('acl'), resourcePatternType: ResourcePatternTypes.LITERAL, principal: 'User:u', host: '*',
  operation: AclOperationTypes.READ, permissionType: AclPermissionTypes.ALLOW }
add('admin-acls/describe-without-authorizer', () => refused('SECURITY_DISABLED', () => admin.describeAcls(acl)))
add('admin-acls/create-without-authorizer', () => refused('SECURITY_DISABLED', () => admin.createAcls({ acl: [acl] })))
add('admin-acls/delete-without-authorizer', () => refused('SECURITY_DISABLED', () => admin.deleteAcls({ filters: [acl] })))
add('admin-misc/describe-cluster', async () => {
  const d = await admin.describeCluster()
  check([d.brokers.length, d.controller, d.clusterId.length > 0], [1, d.brokers[0].nodeId, true])
})
add('admin-misc/no-reassignments', async () => check((await admin.listPartitionReassignments({ topics: [{ topic: await topic('reassigned'), partitions: [0] }] })).topics, [], 'reassignments'))
add('metadata/brokers', async () => {
  const [b] = (await admin.describeCluster()).brokers
  check(`${b.host}:${b.port}`, bootstrap, 'address')
})
add('metadata/topic', async () => check((await partitions(await topic('known', 3))).length, 3, 'partitions'))
add('metadata/all-topics', async () => {
  const t = await topic('all', 2)
  await until(async () => (await watcher.fetchTopicMetadata()).topics.some(x => x.name === t && x.partitions.length === 2), 'the topic in the metadata')
})
