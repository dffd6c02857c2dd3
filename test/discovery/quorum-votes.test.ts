// Each vote of a quorum needs an endpoint of its own: an ejected one is better than one that votes already.
import { expect, it } from 'vitest'
import { pick } from '../../src/policies/pick.ts'
import { quorum } from '../../src/policies/quorum.ts'
import { pipelineOf } from '../policies/kit.ts'
import { bench } from './support.ts'

it('a quorum of three goes to all three, also while one of them is ejected', async () => {
  const { resolver, call, clock, view } = bench({}, 'a', 'b', 'c')
  for (let n = 0; n < 3; n++) call('c', 'failure')
  expect(view('c').ejected).toBe(true)
  const asked: unknown[] = []
  const vote = pipelineOf<unknown, unknown>(
    [quorum({ of: 3 }), pick(resolver, { clock })],
    async (_, context) => {
      asked.push(context.endpoint?.id)
      return 'same'
    },
    { clock },
  )
  expect(await vote()).toBe('same')
  expect(asked).toEqual(['a', 'b', 'c'])
})
