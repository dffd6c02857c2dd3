// The conformance suite over the memory store: it has to pass, and shows that the suite can.
import { describe, test } from 'vitest'
import { testStore } from '../../../src/testing/store-suite/index.ts'
import { memoryStoreLab } from '../mutants/store-kit.ts'

await testStore('memory', () => memoryStoreLab(), { describe, test })
