// What users rely on when processes, brokers and members die, by way of kafkajs.
import { describeTrouble } from './trouble.ts'

describeTrouble('kafkajs')
