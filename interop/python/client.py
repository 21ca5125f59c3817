"""The smallest complete GREP11 client in Python: docs/clients.md quotes it, and the suite beside it connects by it."""

import hashlib
import json
import os
import ssl
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import grpc
from grpc_status import rpc_status

from grep11 import crypto_pb2 as pb
from grep11 import crypto_pb2_grpc, errors_pb2

CKM_EC_KEY_PAIR_GEN, CKM_ECDSA = 0x1040, 0x1041
CKA_SIGN, CKA_VERIFY, CKA_EC_PARAMS = 0x108, 0x10A, 0x180
P256 = bytes.fromhex("06082a8648ce3d030107")  # the curve's OID in DER
YES = pb.AttributeValue(AttributeTF=True)

# Repeating does no harm, as the gateway keeps nothing of a call; the pauses grow.
RETRIES = {
    "methodConfig": [
        {
            "name": [{"service": "grep11.Crypto"}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
            },
        }
    ]
}

OPTIONS = [("grpc.service_config", json.dumps(RETRIES))]


class Bearer(grpc.AuthMetadataPlugin):
    """Puts the access token into each call, and fetches the next one before it expires."""

    def __init__(self, endpoint: str, api_key: str, ca: str, instance: str | None = None) -> None:
        self._url = endpoint.rstrip("/") + "/identity/token"
        self._form = {"grant_type": "urn:ibm:params:oauth:grant-type:apikey", "apikey": api_key}
        self._trust = ssl.create_default_context(cafile=ca)
        self._instance = instance
        self._lock = threading.Lock()
        self._token = ""
        self._refresh_at = 0.0

    def token(self) -> str:
        with self._lock:
            if time.monotonic() > self._refresh_at:
                form = urllib.parse.urlencode(self._form).encode()
                with urllib.request.urlopen(self._url, form, timeout=10, context=self._trust) as response:
                    body = json.load(response)
                self._token = body["access_token"]
                self._refresh_at = time.monotonic() + body["expires_in"] * 0.75
            return self._token

    def __call__(self, context, callback) -> None:
        try:
            metadata = [("authorization", "Bearer " + self.token())]
            if self._instance:
                metadata.append(("bluemix-instance", self._instance))
            callback(tuple(metadata), None)
        except Exception as error:  # grpc waits for an answer, whatever went wrong.
            callback((), error)


def read(file: str | None) -> bytes | None:
    return Path(file).read_bytes() if file else None


def connect() -> grpc.Channel:
    ca = os.environ["GREP11_CA"]
    bearer = Bearer(
        os.environ["GREP11_IAMENDPOINT"], os.environ["GREP11_APIKEY"], ca, os.environ.get("GREP11_INSTANCE")
    )
    certificate, key = read(os.environ.get("GREP11_CLIENT_CERT")), read(os.environ.get("GREP11_CLIENT_KEY"))
    tls = grpc.ssl_channel_credentials(read(ca), key, certificate)
    credentials = grpc.composite_channel_credentials(tls, grpc.metadata_call_credentials(bearer))
    return grpc.secure_channel(os.environ["GREP11_ADDRESS"], credentials, OPTIONS)


def grep11_error(refusal: grpc.RpcError) -> errors_pb2.Grep11Error | None:
    """The one detail of a refusal, or None when it has none."""
    status = rpc_status.from_call(refusal)
    error = errors_pb2.Grep11Error()
    if status is None or len(status.details) != 1 or not status.details[0].Unpack(error):
        return None
    return error


def main() -> None:
    with connect() as channel:
        gateway = crypto_pb2_grpc.CryptoStub(channel)
        pair = gateway.GenerateKeyPair(
            pb.GenerateKeyPairRequest(
                Mech=pb.Mechanism(Mechanism=CKM_EC_KEY_PAIR_GEN),
                PubKeyTemplate={CKA_EC_PARAMS: pb.AttributeValue(AttributeB=P256), CKA_VERIFY: YES},
                PrivKeyTemplate={CKA_SIGN: YES},
            ),
            timeout=30,
        )
        # Keep pair.PrivKey.KeyBlobs[0]: the gateway does not.
        digest = hashlib.sha256(b"pay 10 to Alice").digest()
        ecdsa = pb.Mechanism(Mechanism=CKM_ECDSA)
        request = pb.SignSingleRequest(Mech=ecdsa, PrivKey=pair.PrivKey, Data=digest)
        signature = gateway.SignSingle(request, timeout=30).Signature
        changed = bytes([signature[0] ^ 1]) + signature[1:]
        try:
            request = pb.VerifySingleRequest(Mech=ecdsa, PubKey=pair.PubKey, Data=digest, Signature=changed)
            gateway.VerifySingle(request, timeout=30)
        except grpc.RpcError as refusal:
            print(f"{len(signature)} bytes; once changed: {refusal.details()}, code {grep11_error(refusal).Code}")


if __name__ == "__main__":
    main()
