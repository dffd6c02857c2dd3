// The contract of the shared cases, asked over queues of Kafka: what HTTP promises is promised here.
import { contractOverQueues } from '../../adapters/rpi-over-messaging/over-queues.ts'
import { sharedLab } from './shared-lab.ts'

contractOverQueues('Kafka', sharedLab)
