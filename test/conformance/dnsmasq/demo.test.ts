// The order demo, its instances behind names of a real DNS server.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { demoWith } from '../../examples/run-demo.ts'
import { startDnsmasq } from '../../services/dnsmasq-instance.ts'

it('keeps its promises, and leaves no name behind', { timeout: 120_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-demo-'))
  const server = await startDnsmasq({ config: [`hostsdir=${folder}`] })
  try {
    await demoWith(`dns=127.0.0.1:${server.port}`, { DNS_HOSTS_FOLDER: folder })
    expect(readdirSync(folder)).toEqual([])
  } finally {
    await server.remove()
    rmSync(folder, { recursive: true, force: true })
  }
})
