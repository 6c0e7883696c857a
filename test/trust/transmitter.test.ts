import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createEgress, type Egress } from '../../src/connectors/egress.ts'
import { discoverTransmitter } from '../../src/trust/transmitter.ts'
import { type SsfTransmitter, startSsfTransmitter, type TransmitterOptions } from '../support/idps/ssf-transmitter.ts'
import { startWeb, type Web } from '../support/web.ts'

let egress: Egress
let web: Web
let transmitter: SsfTransmitter | undefined

beforeAll(() => {
  egress = createEgress({ allowPrivateTargets: ['127.0.0.1'] })
})
afterAll(() => egress.close())
beforeEach(async () => {
  web = await startWeb()
})
afterEach(async () => {
  await web.close()
  await transmitter?.close()
  transmitter = undefined
})

async function start(options?: TransmitterOptions): Promise<SsfTransmitter> {
  transmitter = await startSsfTransmitter(options)
  return transmitter
}
const why = (issuer: string) =>
  discoverTransmitter(egress, issuer).then(
    () => undefined,
    (error) => error.problems[0],
  )

describe('the metadata of a transmitter (SSF 1.0 §7)', () => {
  it.each([
    ['', false],
    ['/tenants/1', false],
    ['/', true],
  ])('is read below the host, the path "%s" behind it (before the final specification: %s)', async (path, isRisc) => {
    const { issuer, jwksUri, endpoints } = await start({ path, isRisc })
    expect(await discoverTransmitter(egress, issuer)).toEqual({
      jwksUri,
      configurationEndpoint: endpoints.configuration,
      statusEndpoint: endpoints.status,
      verificationEndpoint: endpoints.verification,
    })
  })

  it('may have but its issuer', async () => {
    const nothing = { jwks_uri: undefined, configuration_endpoint: undefined, status_endpoint: undefined }
    const { issuer } = await start({ metadata: { ...nothing, verification_endpoint: undefined } })
    expect(await discoverTransmitter(egress, issuer)).toEqual({})
  })

  it('must name the issuer byte for byte (P6)', async () => {
    web.put('/.well-known/ssf-configuration', { json: { issuer: `${web.url}/`, jwks_uri: `${web.url}/keys` } })
    expect(await why(web.url)).toMatchObject({
      field: 'issuer',
      message: expect.stringContaining('names another issuer (a slash at the end counts)'),
    })
    expect(await discoverTransmitter(egress, `${web.url}/`)).toEqual({ jwksUri: `${web.url}/keys` })
  })

  it.each([
    [{ status: 404 }, 'answered 404'],
    [{ status: 302, location: '/elsewhere' }, 'answered 302'],
    [{ status: 200, body: '[]' }, 'is no JSON object'],
  ])('is not to be had: %j', async (page, message) => {
    web.put('/.well-known/ssf-configuration', page)
    expect(await why(web.url)).toMatchObject({ field: 'issuer', message: expect.stringContaining(message) })
    expect(web.asked).toEqual(['/.well-known/ssf-configuration', '/.well-known/risc-configuration'])
  })

  it.each(['jwks_uri', 'configuration_endpoint', 'status_endpoint', 'verification_endpoint'])(
    'may not lead into a private network: %s (P18)',
    async (member) => {
      const json = { issuer: web.url, [member]: 'https://169.254.169.254/latest' }
      web.put('/.well-known/ssf-configuration', { json })
      expect(await why(web.url)).toMatchObject({ message: expect.stringContaining('must not lead to 169.254.169.254') })
    },
  )

  it('is asked for nowhere in a private network (P18)', async () => {
    expect(await why('https://10.0.0.1')).toMatchObject({
      field: 'issuer',
      message: expect.stringContaining('10.0.0.1'),
    })
  })
})
