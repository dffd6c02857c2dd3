// Every way in which a real Kafka fails us, by way of kafkajs.
import { describeFaults } from './faults.ts'

describeFaults('kafkajs')
