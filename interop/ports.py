"""Prints the first of so many free ports in a row, below those that the system gives to clients."""

import random
import socket
import sys


def is_free(port):
    with socket.socket() as listening:
        try:
            listening.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


number = int(sys.argv[1])
while True:
    first = random.randrange(20000, 32000)
    if all(is_free(first + i) for i in range(number)):
        print(first)
        break
