import { describeCheckpoints } from '../postgres/checkpoints.ts'

describeCheckpoints('pgbouncer')
