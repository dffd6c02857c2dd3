// Recipe: what an owner and those who keep copies of its data share: the channel of its changes, and the contract with calls and snapshots.
import { defineContract, topic } from 'fairlead'
import { z } from 'zod'

export const Item = z.object({
  ...{ id: z.string(), version: z.number() },
  ...{ name: z.string(), cents: z.number(), country: z.string() },
})
export type Value = Omit<z.infer<typeof Item>, 'id' | 'version'>

const Entry = z.object({ key: z.string(), version: z.string(), value: Item.omit({ id: true, version: true }) })
const Page = z.object({
  entries: z.array(Entry),
  more: z.boolean(),
  cursor: z.string().optional(),
  position: z.object({ time: z.number() }).optional(),
})

export const eventsOf = (name: string) => topic(name, { changed: Item, gone: Item.pick({ id: true, version: true }) })

export const contractOf = (name: string) =>
  defineContract(name, {
    find: {
      http: 'GET /items/:id',
      input: z.object({ id: z.string() }),
      output: z.object({ item: Item.optional() }),
    },
    snapshot: { http: 'GET /snapshot?after', input: z.object({ after: z.string().optional() }), output: Page },
  })
