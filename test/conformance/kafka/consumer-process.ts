// A consumer of its own process, to be killed in the middle of its work: it settles those that it is told to, and says what it got.
import { transportOf } from './kafka-lab.ts'

const [client, brokers, topic, group, holdFrom] = process.argv.slice(2) as [never, string, string, string, string]
const transport = transportOf(client, [brokers])
const receiver = await transport.receive({ channel: { kind: 'topic', name: topic }, group }, (delivery) => {
  const { id } = delivery.envelope
  // From here on all are in the middle of their handlers.
  if (Number(id) >= Number(holdFrom)) process.stdout.write(`held ${id}\n`)
  else
    delivery.settle('ack').then(
      () => process.stdout.write(`settled ${id}\n`),
      () => process.stdout.write(`lost ${id}\n`),
    )
})
receiver.request(100)
process.stdout.write('ready\n')
