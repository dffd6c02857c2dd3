// The payment service: takes the money of an order once, whichever instance is asked and however often.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createServerAdapter } from 'fairlead'
import { Payment } from './contracts.ts'
import { announceInstance } from './registry.ts'
import { runService } from './service.ts'

const { ledger: folder, registry, host, port } = JSON.parse(process.argv[2] as string)
const ledger = join(folder, 'charges')
mkdirSync(ledger, { recursive: true })

const adapter = createServerAdapter(Payment, {
  charge: ({ orderId, amount, card }, context) => {
    if (card === 'expired') context.fail('declined', { reason: 'the card has expired' })
    try {
      writeFileSync(join(ledger, orderId), String(amount), { flag: 'wx' })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error // taken already: the same answer again
    }
    return { chargeId: `charge-${orderId}` }
  },
})
await runService(adapter.node(), {
  host,
  port,
  announce: (...at) => announceInstance(registry, 'payment', ...at),
  seen: () => ({ taken: readdirSync(ledger).length }),
})
