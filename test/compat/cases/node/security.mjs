// Cases about TLS and logins. What the listeners, files and tokens are is told by the environment.
import { readFileSync } from 'node:fs'
import kafkajs from 'kafkajs'
import { add, check } from './runner.mjs'
import { topic } from './kafkajs.mjs'

const { Kafka, logLevel } = kafkajs
const env = what => process.env[`COMPAT_${what}`]
const file = what => readFileSync(env(what), 'utf8')
const [ssl, saslSSL, saslPlain] = ['SSL', 'SASL_SSL', 'SASL_PLAINTEXT'].map(env)
const ca = { ca: [file('CA')], servername: 'localhost' }
const certificate = what => ({ ...ca, key: file(what), cert: file(what) })
const login = (mechanism, username, password) => ({ mechanism, username, password })
const token = what => ({ mechanism: 'oauthbearer', oauthBearerProvider: async () => ({ value: env(what) }) })

async function writeAndRead(t, value, broker, tls, sasl, retries) {
  const own = new Kafka({ clientId: 'compat', brokers: [broker], ssl: tls, sasl, logLevel: logLevel.NOTHING, connectionTimeout: 5000,
    retry: { initialRetryTime: 50, retries } })
  const p = own.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
  try {
    await p.connect()
    await p.send({ topic: t, messages: [{ partition: 0, value }] })
  } finally {
    await p.disconnect()
  }
  const c = own.consumer({ groupId: `${t}-group`, maxWaitTimeInMs: 200 })
  try {
    await c.connect()
    await c.subscribe({ topics: [t], fromBeginning: true })
    return await new Promise((done, failed) => {
      c.on(c.events.CRASH, e => failed(e.payload.error))
      c.run({ eachMessage: async ({ message }) => done(message.value.toString()) }).catch(failed)
    })
  } finally {
    await c.disconnect()
  }
}

// welcome is a case in which a record is written and read.
const welcome = (what, ...where) => add(`security/${what}`, async () => {
  const t = await topic(`welcome-${what}`)
  check(await writeAndRead(t, `by ${what}`, ...where.concat(Array(3 - where.length).fill(undefined)), 8), `by ${what}`)
})

// unwelcome is a case in which it is not; a stranger is told that the login is wrong.
const unwelcome = (what, said, ...where) => add(`security/${what}`, async () => {
  const t = await topic(`unwelcome-${what}`)
  try {
    await writeAndRead(t, 'must not be', ...where.concat(Array(3 - where.length).fill(undefined)), 1)
  } catch (e) {
    if (said && !`${e.name} ${e.message}`.match(said)) throw new Error(`no word of a wrong login: ${e.name} ${e.message}`)
    return
  }
  throw new Error('it is let in')
})
const stranger = (what, ...where) => unwelcome(what, /auth|SASL/i, ...where)

welcome('certificate', ssl, certificate('CERT'))
unwelcome('no-certificate', null, ssl, ca)
unwelcome('certificate-of-another-authority', null, ssl, certificate('OTHER_CERT'))
unwelcome('broker-of-another-authority', null, ssl, { ...certificate('CERT'), ca: [file('OTHER_CA')] })
unwelcome('plain-text-to-tls', null, ssl)
unwelcome('no-login', null, saslPlain)
welcome('plain', saslSSL, ca, login('plain', 'plain', 'secret-of-plain'))
welcome('plain-without-tls', saslPlain, undefined, login('plain', 'plain', 'secret-of-plain'))
stranger('plain-wrong-password', saslSSL, ca, login('plain', 'plain', 'not-the-password'))
for (const size of ['256', '512']) {
  welcome(`scram-${size}`, saslSSL, ca, login(`scram-sha-${size}`, 'scram', 'secret-of-scram'))
  welcome(`scram-${size}-without-tls`, saslPlain, undefined, login(`scram-sha-${size}`, 'scram', 'secret-of-scram'))
  stranger(`scram-${size}-wrong-password`, saslSSL, ca, login(`scram-sha-${size}`, 'scram', 'not-the-password'))
}
stranger('scram-512-unknown-user', saslSSL, ca, login('scram-sha-512', 'nobody', 'not-the-password'))
welcome('oauthbearer', saslSSL, ca, token('TOKEN'))
welcome('oauthbearer-without-tls', saslPlain, undefined, token('TOKEN'))
unwelcome('oauthbearer-ended-token', null, saslSSL, ca, token('OLD_TOKEN'))
unwelcome('oauthbearer-unknown-key', null, saslSSL, ca, token('OTHER_TOKEN'))
