import { describeCheckpoints } from './checkpoints.ts'

describeCheckpoints('postgres')
