import { describe, expect, it } from 'vitest'
import { runSchedule, type Scenario } from '../../src/testing/crash-test/run.ts'
import { drawSchedule, type Schedule } from '../../src/testing/crash-test/schedule.ts'
import { explore, replay } from './explore.ts'

// Copies numbers one by one, and notes how far it has come. Without the note in one step with the copy, a kill between the two doubles one.
const copying = (atOnce: boolean): Scenario => ({
  name: 'copying',
  size: 6,
  set(world) {
    const copies: number[] = []
    let mark = 0
    world.process('copier', async (life) => {
      while (mark < world.schedule.size) {
        const next = mark
        if (atOnce) {
          const copyAndMark = (): void => {
            copies.push(next)
            mark = next + 1
          }
          await life.step('copy and mark', copyAndMark).catch(() => undefined)
        } else {
          await life.step('copy', () => void copies.push(next), {
            kinds: ['crash-before', 'crash-after', 'pause-after'],
          })
          await life.step('mark', () => void (mark = next + 1), { kinds: ['crash-before', 'pause-before'] })
        }
      }
    })
    return {
      done: () => mark >= world.schedule.size,
      judge: () => {
        const twice = copies.filter((each, at) => copies.indexOf(each) !== at)
        return !atOnce && twice.length > 0 ? [{ rule: 'twice', message: `${twice.join()} twice` }] : []
      },
    }
  },
})

const calm: Schedule = { seed: 1, size: 6, jitter: 1, faults: [] }

describe('the simulation', () => {
  it('goes the same way with the same schedule', async () => {
    const { catalogue } = await runSchedule(copying(false), calm)
    const schedule = drawSchedule(7, catalogue, { size: 6, most: 6 })
    const [one, two] = [
      await runSchedule(copying(false), schedule, { traced: true }),
      await runSchedule(copying(false), schedule, { traced: true }),
    ]
    expect(one.trace.length).toBeGreaterThan(10)
    expect(two).toEqual(one)
    const other = await runSchedule(copying(false), { ...schedule, seed: 8 }, { traced: true })
    expect(other.trace).not.toEqual(one.trace)
  })

  it('finds nothing where nothing is wrong', async () => {
    const { failure, schedules } = await explore(copying(true), { schedules: 200, seed: 1 })
    expect({ failure, schedules }).toEqual({ failure: undefined, schedules: 200 })
  })

  it('finds the kill between two steps, shrinks it to that one fault, and says how to see it again', async () => {
    const { failure } = await explore(copying(false), { schedules: 500, seed: 1 })
    expect(failure?.shortest.schedule).toMatchObject({
      size: 1,
      jitter: 0,
      faults: [{ process: 'copier', nth: 1, ms: 1 }],
    })
    expect(failure?.text).toContain('twice: 0 twice')
    expect(failure?.text).toContain('*** copier is killed')
    const again = await replay(copying(false), failure?.seed as number)
    expect(again.failure?.found).toEqual(failure?.found)
  })

  it('stands still as a whole: no step, no timer and no answer of a process that is paused', async () => {
    const rang: string[] = []
    const scenario: Scenario = {
      name: 'pausing',
      size: 1,
      set(world) {
        world.process('one', async (life) => {
          life.clock.setTimer(() => rang.push(`timer at ${life.clock.now()}`), 50, undefined)
          await life.step('first', () => undefined)
          rang.push(`answer at ${life.clock.now()}`)
        })
        return { done: () => rang.length === 2, judge: () => [] }
      },
    }
    const faults = [{ process: 'one', step: 'first', nth: 1, kind: 'pause-before', ms: 500 } as const]
    await runSchedule(scenario, { seed: 1, size: 1, jitter: 0, faults })
    expect(rang).toEqual(['timer at 501', 'answer at 501'])
  })

  it('lets a killed process do nothing more', async () => {
    const lives: string[] = []
    const scenario: Scenario = {
      name: 'dying',
      size: 1,
      set(world) {
        world.process('one', async (life) => {
          const { name } = life
          life.clock.setTimer(() => lives.push(`${name} timer`), 5, undefined)
          await life.step('first', () => undefined)
          lives.push(`${name} went on`)
        })
        return { done: () => lives.length > 0, judge: () => [] }
      },
    }
    const faults = [{ process: 'one', step: 'first', nth: 1, kind: 'crash-after', ms: 10 } as const]
    await runSchedule(scenario, { seed: 1, size: 1, jitter: 0, faults })
    expect(lives).toEqual(['one#2 went on', 'one#2 timer'])
  })
})
