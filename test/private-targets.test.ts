import { describe, expect, it } from 'vitest'
import { Invalid } from '../src/errors.ts'
import { parsePrivateTargets } from '../src/private-targets.ts'

describe('TENURE_ALLOW_PRIVATE_TARGETS', () => {
  it.each<[string, true | string[]]>([
    ['', []],
    ['  ', []],
    ['true', true],
    [' TRUE ', true],
    ['localhost', ['localhost']],
    ['10.20.0.0/16, localhost\n192.168.1.7', ['10.20.0.0/16', 'localhost', '192.168.1.7']],
    ['Hooks.Corp.Example.', ['hooks.corp.example']],
    ['bücher.example', ['xn--bcher-kva.example']],
    ['my_host', ['my_host']],
    ['[::1],FD00::1,fd00:0::/8', ['::1', 'fd00::1', 'fd00::/8']],
    ['127.0.0.1,127.0.0.1', ['127.0.0.1']],
    ['0.0.0.0/0', ['0.0.0.0/0']],
  ])('reads %j', (text, expected) => {
    expect(parsePrivateTargets(text)).toEqual(expected)
  })

  it.each([
    ['http://localhost:3000', 'list its host alone'],
    ['localhost:3000', 'has a port'],
    ['10.20.0.0/33', 'is not a CIDR'],
    ['10.20/16', 'is not a CIDR'],
    ['localhost/8', 'is not a CIDR'],
    ['10.20.0.7/16', 'write 10.20.0.0/16'],
    ['fd00::1/8', 'write fd00::/8'],
    ['*.corp.example', 'wildcard'],
    ['false', 'leave it empty'],
    ['true,localhost', 'nothing else'],
    ['127.1', 'means 127.0.0.1'],
    ['0x7f000001', 'means 127.0.0.1'],
    ['1', 'means 0.0.0.1'],
    ['1.2.3.4.5', 'is not a host'],
    ['user@host', 'is not a host'],
    ['-a', 'is not a host'],
    ['fe80::1%eth0', 'has a zone'],
  ])('refuses %j: %s', (text, why) => {
    expect(() => parsePrivateTargets(text)).toThrow(Invalid)
    expect(() => parsePrivateTargets(text)).toThrow(why)
  })

  it('names every entry that is wrong at once', () => {
    expect(() => parsePrivateTargets('ok, *.a, b:1')).toThrow(/"\*\.a".*"b:1"/)
  })

  it('reads its own answer to the same answer', () => {
    const once = parsePrivateTargets('10.0.0.0/8 [::1] Localhost. fd00::/8') as string[]
    expect(parsePrivateTargets(once.join(','))).toEqual(once)
  })
})
