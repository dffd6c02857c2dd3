// A file for each case of the conformance suite; every store has a handle of its own, as another process would.
import { join } from 'node:path'
import { sqliteStore } from '../../../src/adapters/sqlite/index.ts'
import type { Store } from '../../../src/core/contracts/store.ts'
import { fakeClock } from '../../../src/testing/fake-clock.ts'
import type { StoreLab, StoreOpenOptions } from '../../../src/testing/store-suite/index.ts'
import { type Driver, type Handle, type TestEngine, temporaryFolder } from './engines.ts'

type Tx = Parameters<Parameters<Driver['transaction']>[0]>[0]

/** The date of the store is set by the lab; the driver, which waits for other handles, goes by real time. */
export const sqliteLab = async (engine: TestEngine): Promise<StoreLab<Tx>> => {
  const folder = temporaryFolder()
  const time = fakeClock()
  let shift = 0
  const clock = { ...time, wallNow: () => time.wallNow() + shift }
  const handles: Handle[] = []
  const handleOf = new Map<Store<Tx>, Handle>()
  const openAt = (name: string, { archive, owner }: StoreOpenOptions = {}): Store<Tx> => {
    const handle = engine.open(join(folder.path, name))
    handles.push(handle)
    const store = sqliteStore(engine.driver(handle, { busyWithinMs: 10_000 }), { archive, owner, clock })
    handleOf.set(store, handle)
    return store
  }
  const effects = engine.open(join(folder.path, 'shop.db'))
  handles.push(effects)
  effects.exec('create table effect (name text)')
  const maker = openAt('shop.db')
  await maker.migrate()
  const first = handles.length
  return {
    open: (options) => openAt('shop.db', options),
    unmigrated: (options) => openAt('bare.db', options),
    clock,
    pass: (ms) => time.advance(ms),
    serial: true,
    async begin(store) {
      const handle = (store === undefined ? handles[first] : handleOf.get(store)) as Handle
      for (;;)
        try {
          handle.exec('begin immediate')
          break
        } catch {
          // A handle is one connection, and one connection writes at a time.
          await new Promise((resolve) => setImmediate(resolve))
        }
      return {
        tx: handle as unknown as Tx,
        commit: async () => void handle.exec('commit'),
        rollback: async () => void handle.exec('rollback'),
      }
    },
    async effect(tx, name) {
      tx.prepare('insert into effect (name) values (?)').run(name)
    },
    async effects() {
      return (effects.prepare('select name from effect').all() as { readonly name: string }[]).map(({ name }) => name)
    },
    notTransactions: [effects, {}, null, undefined, 'tx'],
    async shiftDate(ms) {
      shift += ms
      return async () => {
        shift -= ms
      }
    },
    async close() {
      for (const handle of handles) handle.close()
      folder.remove()
    },
  }
}
