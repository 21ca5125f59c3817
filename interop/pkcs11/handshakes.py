"""TLS handshakes with a server that holds an RSA and an ECDSA certificate, one after the other from several threads,
until standard input ends; every one is counted. Python 3.9 and its standard library.

    handshakes.py HOST:PORT CERTIFICATES THREADS

CERTIFICATES is a PEM file with the server's certificates, which are trusted and nothing else. Prints a line for each kind
of certificate and exits with 1 when a handshake failed, was answered by the other kind, or there were none.
"""

import os
import socket
import ssl
import sys
import threading
import time

# What a call may wait for an agent or a gateway that is away is 30 s (docs/pkcs11.md); a handshake is one call.
TIMEOUT_SECONDS = 45
KINDS = {"RSA": "ECDHE-RSA-AES128-GCM-SHA256", "ECDSA": "ECDHE-ECDSA-AES128-GCM-SHA256"}


class Count:
    """Of one kind of certificate. Several threads write it, under its lock."""

    def __init__(self):
        self.lock = threading.Lock()
        self.done = 0
        self.longest = 0.0
        self.failures = []


def context(cipher, certificates):
    """TLS 1.2, since its cipher suites name the certificate's kind; no ticket, so that each handshake is a whole one."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_TICKET
    made.set_ciphers(cipher)
    made.load_verify_locations(certificates)
    return made


def shake(address, cipher, tls, count, ended):
    """Handshakes and one small request over each, until it is told to end."""
    while not ended.is_set():
        begun = time.monotonic()
        failure = None
        try:
            with socket.create_connection(address, TIMEOUT_SECONDS) as plain:
                with tls.wrap_socket(plain, server_hostname=address[0]) as connection:
                    if connection.cipher()[0] != cipher:
                        failure = "answered with " + connection.cipher()[0]
                    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    if not connection.recv(16).startswith(b"HTTP/1.1 200"):
                        failure = "no answer to the request"
        except OSError as error:
            failure = repr(error)
        taken = time.monotonic() - begun
        with count.lock:
            count.longest = max(count.longest, taken)
            if failure:
                count.failures.append("after %.2f s: %s" % (taken, failure))
            else:
                count.done += 1
        if failure:
            # A server that is down is not asked a million times.
            time.sleep(0.1)


def main(server, certificates, threads):
    host, port = server.rsplit(":", 1)
    ended = threading.Event()
    counts = {kind: Count() for kind in KINDS}
    running = [
        # A context of its own, made before any thread runs.
        threading.Thread(target=shake, args=((host, int(port)), cipher, context(cipher, certificates), counts[kind], ended))
        for kind, cipher in KINDS.items()
        for _ in range(int(threads))
    ]
    for thread in running:
        thread.start()
    sys.stdin.read()
    ended.set()
    for thread in running:
        thread.join()
    good = True
    for kind, count in counts.items():
        print("%s handshakes=%d failed=%d longest_s=%.2f" % (kind, count.done, len(count.failures), count.longest))
        for failure in count.failures[:5]:
            print("  " + failure)
        good = good and count.done > 0 and not count.failures
    return 0 if good else 1


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    status = main(*sys.argv[1:])
    sys.stdout.flush()
    # Not by the interpreter's own end, in which OpenSSL 3.0 once freed twice when all handshakes were done and counted.
    os._exit(status)
