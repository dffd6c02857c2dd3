// The inventory service: keeps stock, reserves and releases. Its ledger is a folder, so that both instances share it.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createServerAdapter } from 'fairlead'
import { Inventory } from './contracts.ts'
import { announceInstance } from './registry.ts'
import { runService } from './service.ts'

const { ledger: folder, registry, host, port } = JSON.parse(process.argv[2] as string)
const ledger = join(folder, 'reservations')
mkdirSync(ledger, { recursive: true })
let released = 0

const adapter = createServerAdapter(Inventory, {
  stock: () => ({ level: 5_000 - readdirSync(ledger).length }),
  reserve: ({ orderId, quantity }, context) => {
    if (quantity > 5_000) context.fail('outOfStock', { left: 5_000 })
    writeFileSync(join(ledger, orderId), String(quantity))
    return { reservationId: orderId }
  },
  release: ({ reservationId }) => {
    rmSync(join(ledger, reservationId), { force: true })
    released++
    return {}
  },
})
await runService(adapter.node(), {
  host,
  port,
  announce: (...at) => announceInstance(registry, 'inventory', ...at),
  seen: () => ({ released, reserved: readdirSync(ledger).length }),
})
