// The commands about processes, called as functions, over a real file of SQLite: what they note, a runner does.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { run } from '../../src/cli/run.ts'
import { fileLab } from '../adapters/sqlite/file-lab.ts'
import { type Lab, labOf } from '../messaging/lab.ts'
import { memoryQueues } from '../messaging/memory-lab.ts'
import { channelsOf, othersOf, placeOrder, type Seen, serviceOf } from '../messaging/process/order.ts'

let url: string
let lab: Lab

beforeAll(async () => {
  const rows = await fileLab()
  url = `sqlite:${rows.path}`
  lab = await labOf(rows, memoryQueues())
})
afterAll(() => lab.close())

/** What the command wrote, and its exit code. */
async function cli(...words: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const lines = { out: [] as string[], err: [] as string[] }
  const code = await run(['process', ...words], {
    out: (text) => void lines.out.push(text),
    err: (text) => void lines.err.push(text),
    env: { DATABASE_URL: url },
    cwd: process.cwd(),
  })
  return { code, out: lines.out.join('\n'), err: lines.err.join('\n') }
}

describe('fairlead process', () => {
  it('lists and shows what goes on, notes what is wanted, and a runner does it', async () => {
    const on = channelsOf('cli')
    const others = await othersOf(lab, on)
    const service = await serviceOf(
      lab,
      placeOrder('place-order', on, async () => {}),
    )
    expect((await cli('list', 'place-order')).out).toBe('no such processes place-order')
    for (const id of ['a', 'b']) await others.order(id)
    await lab.until(() => others.of('ticket.create').length === 2 && others.of('payment.take').length === 2)
    await others.paid('a')
    await others.reply(others.of('ticket.create', 'a')[0] as Seen, { ticketId: 't' })
    await lab.until(async () => (await service.runner.show('a'))?.row.undo.length === 2)

    const { code, out } = await cli('list', 'place-order')
    expect(code).toBe(0)
    expect(out.split('\n')).toHaveLength(3)
    expect(out).toMatch(/^a +running +1 +\d{4}-/m)
    expect(JSON.parse((await cli('list', 'place-order', '--json', '--limit', '1')).out)).toMatchObject([
      { id: 'a', status: 'running', version: 1 },
    ])
    expect(JSON.parse((await cli('list', 'place-order', '--json', '--after', 'a')).out)).toMatchObject([{ id: 'b' }])
    const shown = (await cli('show', 'place-order', 'a')).out
    expect(shown).toMatch(/^payment +done +/m)
    expect(shown).toMatch(/^ticket +waits +\{"orderId":"a","ticketId":"t"\}$/m)
    expect(shown).toMatch(/^timeout:patience +/m)
    expect(shown).toContain('state {"orderId":"a"')
    expect(shown.search(/^ticket +waits/m)).toBeLessThan(shown.search(/^payment +waits/m))

    expect((await cli('cancel', 'place-order', 'a', '--reason', 'wanted by hand')).out).toContain('noted')
    await lab.until(() => others.of('ticket.cancel', 'a').length === 1)
    await others.failure(others.of('ticket.cancel', 'a')[0] as Seen, 'EATEN', {})
    await lab.until(async () =>
      (await cli('list', 'place-order', '--status', 'stuck')).out.includes('undo ticket: EATEN'),
    )
    expect((await cli('resume', 'place-order', 'a', '--json')).out).toBe('{"resume":1}')
    await lab.until(() => others.of('ticket.cancel', 'a').length === 2)
    await others.reply(others.of('ticket.cancel', 'a')[1] as Seen, {})
    await lab.until(async () =>
      (await cli('list', 'place-order', '--status', 'cancelled')).out.includes('wanted by hand'),
    )

    // Of the other one nobody knows anything; somebody has looked.
    expect(await cli('resume', 'place-order', 'b', '--done', 'nonsense')).toMatchObject({ code: 2 })
    expect((await cli('cancel', 'place-order', 'b')).code).toBe(0)
    await lab.until(async () => (await service.runner.show('b'))?.stuck?.step === 'payment')
    await cli('resume', 'place-order', 'b', '--done', 'payment', '--refused', 'ticket')
    await lab.until(() => others.of('payment.back', 'b').length === 1)
    await lab.until(async () => (await service.runner.show('b'))?.status === 'cancelled')
    expect(await cli('resume', 'place-order', 'b')).toMatchObject({
      code: 1,
      out: 'no process place-order b that goes on',
    })
    expect(JSON.parse((await cli('show', 'place-order', 'b', '--json')).out)).toMatchObject({
      status: 'cancelled',
      state: { status: 'REJECTED' },
    })
    await service.stop()
    await others.stop()
  })

  it('purges those of one name that are over for long enough, and says how many', async () => {
    const store = await lab.store()
    const save = (kind: string, id: string, done: boolean): Promise<boolean> =>
      store.transaction((tx) => store.states.save(tx, kind, id, 0, {}, { done }))
    for (const id of ['1', '2', '3']) await save('process:old', id, true)
    await save('process:old', 'open', false)
    await save('process:older', '1', true)
    await lab.pass(20)
    expect(await cli('purge', 'old', '--older-than', '30d')).toMatchObject({ code: 0, out: '0 purged' })
    expect((await cli('purge', 'old', '--older-than', '0s', '--limit', '1', '--json')).out).toBe('{"purged":1}')
    expect((await cli('purge', 'old', '--older-than', '0s')).out).toBe('2 purged')
    const left = async (kind: string): Promise<readonly string[]> => {
      const ids: string[] = []
      for await (const { id } of store.states.list(kind, 10)) ids.push(id)
      return ids
    }
    expect([await left('process:old'), await left('process:older')]).toEqual([['open'], ['1']])
    await store.close()
  })

  it.each([
    [[], 'say what to do'],
    [['list'], 'name the process'],
    [['nonsense', 'x'], 'no command nonsense'],
    [['list', 'x', 'y'], 'takes no y'],
    [['list', 'x', '--status', 'odd'], 'give one of running'],
    [['list', 'x', '--reason', 'odd'], 'takes no --reason'],
    [['show', 'x'], 'the id of one process'],
    [['cancel', 'x', 'a', 'b'], 'the id of one process'],
    [['purge', 'x'], 'say --older-than'],
    [['purge', 'x', 'a', '--older-than', '30d'], 'takes no a'],
    [['purge', 'x', '--older-than', 'soon'], 'give 30s'],
    [['purge', 'x', '--older-than', '30d', '--status', 'all'], 'takes no --status'],
    [['list', 'x', '--older-than', '30d'], 'takes no --older-than'],
  ])('does not guess: %j', async (words, fault) => {
    const { code, err } = await cli(...words)
    expect([code, err]).toEqual([2, expect.stringContaining(fault)])
  })

  it('what is not there is a failure', async () => {
    expect(await cli('show', 'nothing', 'x')).toMatchObject({ code: 1, out: 'no process nothing x' })
    expect(await cli('cancel', 'nothing', 'x')).toMatchObject({ code: 1 })
  })
})
