// The registrar against a real agent that forgets everything when it dies.
import { afterAll, describe, test } from 'vitest'
import { testRegistrar } from '../../../src/testing/registrar-suite/index.ts'
import { startConsul } from '../../services/consul-instance.ts'
import { consulRegistrarLab } from './labs.ts'

const instance = await startConsul()
afterAll(() => instance.remove())

await testRegistrar('consul', () => consulRegistrarLab(instance), { describe, test })
