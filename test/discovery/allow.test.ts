import { describe, expect, it } from 'vitest'
import type { Endpoint } from '../../src/core/contracts/source.ts'
import { addressRule, refusedAddress } from '../../src/discovery/allow.ts'

const endpoint: Endpoint = { id: 'a', addresses: [{ host: 'a', port: 1 }] }

describe('the allow rule of a remote registry', () => {
  it.each([
    ...[
      '127.0.0.1',
      '127.255.0.3',
      '127.0.0.1.',
      '127.1',
      '0x7f.1',
      '0x7f000001',
      '2130706433',
      '0177.0.0.1',
      '017700000001',
    ],
    ...['0.0.0.0', '0', '0x0', '0.1.2.3', '::', '::1', '0:0:0:0:0:0:0:1', '::0001'],
    ...[
      '::ffff:127.0.0.1',
      '::ffff:7f00:1',
      '0:0:0:0:0:ffff:7f00:1',
      '::127.0.0.1',
      '64:ff9b::7f00:1',
      '2002:7f00:1::',
    ],
    ...[
      '169.254.1.1',
      '169.254.169.254',
      '0xa9fea9fe',
      '2852039166',
      '::ffff:169.254.169.254',
      'fe80::1',
      'fe80::1%eth0',
      'febf::1',
    ],
    ...['100.100.100.200', '192.0.0.192', '168.63.129.16', 'fd00:ec2::254', 'FD00:0EC2::0254', 'fd20:ce::254'],
    ...['224.0.0.1', '239.255.255.255', '255.255.255.255', 'ff02::1'],
    ...['localhost', 'LOCALHOST', 'localhost.', 'a.localhost', 'localhost.localdomain', 'localhost6', 'ip6-localhost'],
    ...[
      'metadata',
      'metadata.google.internal',
      'Metadata.Google.Internal.',
      'metadata.goog',
      'instance-data.ec2.internal',
    ],
    ...[
      '1.2.3.4.5',
      '256.1.1.1',
      '1.2.3.999',
      '0x1.2.3.4.5',
      '1.2.3.08',
      ':::',
      '1::2::3',
      '1:2:3',
      '::1.2.3',
      '::1.2.3.256',
    ],
  ])('refuses %s', (host) => {
    expect(refusedAddress(host)).toMatch(/not allowed from a remote registry$/)
  })

  it.each([
    ...[
      '10.0.0.1',
      '192.168.1.1',
      '172.16.0.1',
      '8.8.8.8',
      '100.100.100.201',
      '168.63.129.17',
      '126.255.255.255',
      '128.0.0.1',
    ],
    ...[
      '2001:db8::1',
      'fd00::1',
      'fec0::1',
      '::ffff:10.0.0.1',
      '64:ff9b::a00:1',
      '1::',
      'fe7f::1',
      '2001:db8:1:2:3:4:5:6',
    ],
    ...[
      'inventory',
      'localhost.example.org',
      'notlocalhost',
      'metadata.example.org',
      '1.example',
      '0xcafe.example',
      'a.b.c1',
      'x0',
    ],
  ])('lets in %s', (host) => {
    expect(refusedAddress(host)).toBeUndefined()
  })

  it('holds for remote sources only', () => {
    const rule = addressRule(undefined)
    expect(rule('127.0.0.1', true, endpoint)).toBe('an address of this machine, not allowed from a remote registry')
    expect(rule('127.0.0.1', false, endpoint)).toBeUndefined()
  })

  it('can be turned off', () => {
    expect(addressRule('any')('169.254.169.254', true, endpoint)).toBeUndefined()
  })

  it('can be widened by addresses, ranges and names', () => {
    const rule = addressRule(['127.0.0.0/25', '::1', 'localhost', '.localhost', 'fe80::/64'])
    for (const host of [
      '127.0.0.1',
      '127.0.0.127',
      '0x7f.1',
      '::1',
      'localhost',
      'LocalHost.',
      'a.localhost',
      'fe80::5',
      'fe80::5%eth0',
    ])
      expect(rule(host, true, endpoint), host).toBeUndefined()
    for (const host of ['127.0.0.128', '127.1.0.1', '169.254.169.254', 'localhost6', 'fe80:0:0:1::5', 'metadata'])
      expect(rule(host, true, endpoint), host).toBeDefined()
  })

  it('can be a function, which decides alone, for local sources too', () => {
    const rule = addressRule((host, { id }) => host.startsWith('10.') || id === 'trusted')
    expect(rule('10.0.0.1', true, endpoint)).toBeUndefined()
    expect(rule('8.8.8.8', false, endpoint)).toBe('refused by the function allow')
    expect(rule('127.0.0.1', true, { ...endpoint, id: 'trusted' })).toBeUndefined()
  })

  it('refuses when the function throws, or answers with anything but true', () => {
    const broken = addressRule(() => {
      throw new Error('broken')
    })
    expect(broken('10.0.0.1', false, endpoint)).toBeDefined()
    expect(addressRule((() => Promise.resolve(false)) as never)('10.0.0.1', false, endpoint)).toBeDefined()
  })

  it.each([
    ['all'],
    [42],
    [['127.0.0.0/33']],
    [['fd00::/129']],
    [['10.0.0.0/']],
    [['10.0.0.0/8/8']],
    [['a b']],
    [[7]],
    [['']],
    [['1.2.3.4.5']],
  ])('does not take %j for a rule', (allow) => {
    expect(() => addressRule(allow as never)).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
  })
})
