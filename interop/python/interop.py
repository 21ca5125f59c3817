"""Checks a running gateway as a Python client that knows only the wire."""

import hashlib
import os
import unittest
import urllib.error
from concurrent import futures

import grpc
from grep11 import crypto_pb2 as pb
from grep11 import crypto_pb2_grpc

from client import OPTIONS, Bearer, connect, grep11_error

CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_RSA_PKCS, CKM_SHA512_RSA_PKCS = 0x0, 0x1, 0x42
CKM_SHA256, CKM_EC_KEY_PAIR_GEN, CKM_ECDSA, CKM_ECDH1_DERIVE = 0x250, 0x1040, 0x1041, 0x1050
CKM_AES_KEY_GEN, CKM_AES_CBC_PAD = 0x1080, 0x1085
CKA_CLASS, CKA_KEY_TYPE, CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP = 0x0, 0x100, 0x104, 0x105, 0x106, 0x107
CKA_SIGN, CKA_VERIFY, CKA_DERIVE, CKA_MODULUS_BITS, CKA_PUBLIC_EXPONENT = 0x108, 0x10A, 0x10C, 0x121, 0x122
CKA_VALUE_LEN, CKA_EXTRACTABLE, CKA_EC_PARAMS = 0x161, 0x162, 0x180
CKO_SECRET_KEY, CKK_AES = 4, 0x1F

P256 = bytes.fromhex("06082a8648ce3d030107")
# A SubjectPublicKeyInfo of a P-256 key is as long as this and the uncompressed point.
P256_SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
MESSAGE = b"forty-seven bytes, which end within a third one"


def attribute(value: bool | int | bytes) -> pb.AttributeValue:
    match value:
        case bool():
            return pb.AttributeValue(AttributeTF=value)
        case int():
            return pb.AttributeValue(AttributeI=value)
        case bytes():
            return pb.AttributeValue(AttributeB=value)


def template(values: dict[int, bool | int | bytes]) -> dict[int, pb.AttributeValue]:
    return {number: attribute(value) for number, value in values.items()}


def mechanism(number: int, parameter: bytes | None = None) -> pb.Mechanism:
    return pb.Mechanism(Mechanism=number) if parameter is None else pb.Mechanism(Mechanism=number, ParameterB=parameter)


def as_bytes(field: str, key: pb.KeyBlob) -> dict[str, bytes]:
    return {field + "Bytes": key.KeyBlobs[0]}


def as_key_blob(field: str, key: pb.KeyBlob) -> dict[str, pb.KeyBlob]:
    return {field: key}


def in_both_dialects(test):
    def run(self):
        for put in (as_bytes, as_key_blob):
            with self.subTest(put.__name__):
                test(self, put)

    return run


class Rpcs:
    """The stub; every call has a deadline."""

    def __init__(self, stub: crypto_pb2_grpc.CryptoStub) -> None:
        self._stub = stub

    def __getattr__(self, rpc: str):
        request = getattr(pb, rpc + "Request")
        return lambda **fields: getattr(self._stub, rpc)(request(**fields), timeout=60)


class Flaky(crypto_pb2_grpc.CryptoServicer):
    """Refuses the first calls, and then answers."""

    def __init__(self, refusals: list[grpc.StatusCode]) -> None:
        self._refusals = refusals
        self.calls = 0

    def GenerateRandom(self, request, context):
        self.calls += 1
        if self.calls <= len(self._refusals):
            context.abort(self._refusals[self.calls - 1], "CKR_DEVICE_ERROR")
        return pb.GenerateRandomResponse()


class Interop(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.channel = connect()
        cls.stub = crypto_pb2_grpc.CryptoStub(cls.channel)
        cls.rpc = Rpcs(cls.stub)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.channel.close()

    def generate(self, values) -> pb.GenerateKeyResponse:
        made = self.rpc.GenerateKey(Mech=mechanism(CKM_AES_KEY_GEN), Template=template(values))
        self.assertEqual(made.KeyBytes, made.Key.KeyBlobs[0], "the two forms of the key differ")
        return made

    def generate_pair(self, mech, public, private) -> pb.GenerateKeyPairResponse:
        return self.rpc.GenerateKeyPair(
            Mech=mechanism(mech), PubKeyTemplate=template(public), PrivKeyTemplate=template(private)
        )

    def cbc_pad(self) -> pb.Mechanism:
        return mechanism(CKM_AES_CBC_PAD, self.rpc.GenerateRandom(Len=16).Rnd)

    def refused(self, name: str, code: int):
        test = self

        class Refusal:
            def __enter__(self):
                return self

            def __exit__(self, kind, error, trace):
                test.assertIsInstance(error, grpc.RpcError, "was not refused")
                test.assertEqual((error.code(), error.details()), (grpc.StatusCode.UNKNOWN, name))
                test.assertEqual(grep11_error(error).Code, code)
                return True

        return Refusal()

    def test_an_unknown_api_key_gets_no_token(self):
        unknown = Bearer(os.environ["GREP11_IAMENDPOINT"], "no-such-key", os.environ["GREP11_CA"])
        with self.assertRaises(urllib.error.HTTPError) as refused:
            unknown.token()
        self.assertEqual(refused.exception.code, 400)
        refused.exception.close()

    def test_the_list_begins_with_rsa_pkcs(self):
        self.assertEqual(self.rpc.GetMechanismList().Mechs[0], CKM_RSA_PKCS)

    def test_digest_in_parts(self):
        state = self.rpc.DigestInit(Mech=mechanism(CKM_SHA256)).State
        for part in (MESSAGE[:20], MESSAGE[20:]):
            state = self.rpc.DigestUpdate(State=state, Data=part).State
        self.assertEqual(self.rpc.DigestFinal(State=state).Digest, hashlib.sha256(MESSAGE).digest())

    @in_both_dialects
    def test_encrypt_in_parts(self, put):
        key = self.generate({CKA_VALUE_LEN: 32, CKA_ENCRYPT: True, CKA_DECRYPT: True}).Key
        mech = self.cbc_pad()
        state = self.rpc.EncryptInit(Mech=mech, **put("Key", key)).State
        ciphertext = b""
        for part in (MESSAGE[:16], MESSAGE[16:]):
            step = self.rpc.EncryptUpdate(State=state, Plain=part)
            state, ciphertext = step.State, ciphertext + step.Ciphered
        ciphertext += self.rpc.EncryptFinal(State=state).Ciphered
        state = self.rpc.DecryptInit(Mech=mech, **put("Key", key)).State
        first = self.rpc.DecryptUpdate(State=state, Ciphered=ciphertext[:16])
        self.assertEqual(first.Plain, b"", "the block that may be the last was not held back")
        second = self.rpc.DecryptUpdate(State=first.State, Ciphered=ciphertext[16:])
        self.assertEqual(second.Plain + self.rpc.DecryptFinal(State=second.State).Plain, MESSAGE)

    @in_both_dialects
    def test_sign_in_parts_and_single(self, put):
        pair = self.generate_pair(
            CKM_RSA_PKCS_KEY_PAIR_GEN,
            {CKA_VERIFY: True, CKA_MODULUS_BITS: 2048, CKA_PUBLIC_EXPONENT: 65537},
            {CKA_SIGN: True},
        )
        mech = mechanism(CKM_SHA512_RSA_PKCS)
        state = self.rpc.SignInit(Mech=mech, **put("PrivKey", pair.PrivKey)).State
        for part in (MESSAGE[:8], MESSAGE[8:]):
            state = self.rpc.SignUpdate(State=state, Data=part).State
        signature = self.rpc.SignFinal(State=state).Signature
        # PKCS #1 v1.5 is deterministic: one call gives the same.
        single = self.rpc.SignSingle(Mech=mech, Data=MESSAGE, **put("PrivKey", pair.PrivKey)).Signature
        self.assertEqual(signature, single)
        verify = {"Mech": mech, "Data": MESSAGE, **put("PubKey", pair.PubKey)}
        self.rpc.VerifySingle(Signature=signature, **verify)
        with self.refused("CKR_SIGNATURE_INVALID", 192):
            self.rpc.VerifySingle(Signature=signature[:-1] + bytes([signature[-1] ^ 1]), **verify)

    @in_both_dialects
    def test_wrap_and_unwrap(self, put):
        kek = self.generate_pair(
            CKM_RSA_PKCS_KEY_PAIR_GEN,
            {CKA_WRAP: True, CKA_MODULUS_BITS: 2048, CKA_PUBLIC_EXPONENT: 65537},
            {CKA_UNWRAP: True},
        )
        made = self.generate({CKA_VALUE_LEN: 16, CKA_ENCRYPT: True, CKA_EXTRACTABLE: True})
        mech = mechanism(CKM_RSA_PKCS)
        wrapped = self.rpc.WrapKey(Mech=mech, **put("KeK", kek.PubKey), **put("Key", made.Key)).Wrapped
        values = {CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_AES, CKA_VALUE_LEN: 16, CKA_DECRYPT: True}
        unwrapped = self.rpc.UnwrapKey(
            Mech=mech, Wrapped=wrapped, Template=template(values), **put("KeK", kek.PrivKey)
        )
        self.assertEqual(len(made.CheckSum), 3)
        self.assertEqual(unwrapped.CheckSum[:3], made.CheckSum)
        cipher = self.cbc_pad()
        ciphertext = self.rpc.EncryptSingle(Mech=cipher, Plain=MESSAGE, **put("Key", made.Key)).Ciphered
        plain = self.rpc.DecryptSingle(Mech=cipher, Ciphered=ciphertext, **put("Key", unwrapped.Unwrapped)).Plain
        self.assertEqual(plain, MESSAGE)

    @in_both_dialects
    def test_derive(self, put):
        alice, bob = (
            self.generate_pair(
                CKM_EC_KEY_PAIR_GEN,
                {CKA_EC_PARAMS: P256, CKA_EXTRACTABLE: False},
                {CKA_DERIVE: True, CKA_EXTRACTABLE: False},
            )
            for _ in range(2)
        )

        def derive(own, peer):
            spki = peer.PubKey.KeyBlobs[0]
            self.assertEqual(spki[: len(P256_SPKI)], P256_SPKI)
            point = spki[len(P256_SPKI) : len(P256_SPKI) + 65]
            values = {CKA_CLASS: CKO_SECRET_KEY, CKA_KEY_TYPE: CKK_AES, CKA_VALUE_LEN: 16}
            mech = mechanism(CKM_ECDH1_DERIVE, point)
            return self.rpc.DeriveKey(Mech=mech, Template=template(values), **put("BaseKey", own.PrivKey))

        first, second = derive(alice, bob), derive(bob, alice)
        self.assertEqual(first.CheckSum, second.CheckSum)
        self.assertGreaterEqual(len(first.CheckSum), 3)

    def test_the_client_repeats_what_may_be_repeated(self):
        unavailable, exhausted = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED
        for refusals, calls, end in (
            ([unavailable, exhausted], 3, grpc.StatusCode.OK),
            ([grpc.StatusCode.UNKNOWN], 1, grpc.StatusCode.UNKNOWN),
        ):
            gateway = Flaky(refusals)
            server = grpc.server(futures.ThreadPoolExecutor(1))
            crypto_pb2_grpc.add_CryptoServicer_to_server(gateway, server)
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            with self.subTest(end), grpc.insecure_channel(f"127.0.0.1:{port}", OPTIONS) as channel:
                call = crypto_pb2_grpc.CryptoStub(channel).GenerateRandom.future(pb.GenerateRandomRequest(), timeout=60)
                self.assertEqual((call.code(), gateway.calls), (end, calls))
            server.stop(grace=1).wait()

    def test_the_correlation_id_comes_back(self):
        _, call = self.stub.GenerateRandom.with_call(
            pb.GenerateRandomRequest(Len=1), timeout=60, metadata=(("x-correlation-id", "interop-python-1"),)
        )
        self.assertIn(("x-correlation-id", "interop-python-1"), [tuple(entry) for entry in call.initial_metadata()])


if __name__ == "__main__":
    unittest.main(verbosity=2)
