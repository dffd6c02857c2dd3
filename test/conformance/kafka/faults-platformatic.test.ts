// Every way in which a real Kafka fails us, by way of @platformatic/kafka.
import { describeFaults } from './faults.ts'

describeFaults('@platformatic/kafka')
