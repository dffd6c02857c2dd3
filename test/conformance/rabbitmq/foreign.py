"""A client of RabbitMQ that knows nothing of us (pika): foreign.py put|take URL, with a request as JSON on the standard input."""

import base64
import json
import sys

import pika


def put(channel, request):
    channel.confirm_delivery()
    for message in request["messages"]:
        properties = pika.BasicProperties(**message.get("properties", {}))
        body = base64.b64decode(message["body"])
        channel.basic_publish(request["exchange"], request["routingKey"], body, properties, mandatory=True)
    return []


def take(channel, request):
    taken = []
    for method, properties, body in channel.consume(request["queue"], inactivity_timeout=10):
        if method is None:
            break
        channel.basic_ack(method.delivery_tag)
        known = {name: value for name, value in vars(properties).items() if value is not None}
        taken.append({"properties": known, "body": base64.b64encode(body).decode()})
        if len(taken) == request["count"]:
            break
    channel.cancel()
    return taken


connection = pika.BlockingConnection(pika.URLParameters(sys.argv[2]))
answer = {"put": put, "take": take}[sys.argv[1]](connection.channel(), json.load(sys.stdin))
connection.close()
print(json.dumps(answer, default=str))
