"""The mechanisms that a PKCS #11 module lists, and each of them used. Python 3.9 and its standard library.

    mechanisms.py trips MODULE   a round trip for each function of each mechanism in the module's own list; PIN is in
                                 the environment. A mechanism without one, or whose round trip fails, fails the run
    mechanisms.py list MODULE    their numbers, one a line

Everything is made as objects of a session, and so is gone afterwards.
"""

import ctypes
import hashlib
import os
import sys
from ctypes import POINTER, Structure, byref, c_char, c_ubyte, c_ulong, c_void_p, cast, create_string_buffer, sizeof

# ---- PKCS #11 v2.40, as much of it as is needed

# The order of CK_FUNCTION_LIST; entries that are not called here have no name.
FUNCTIONS = (
    "C_Initialize C_Finalize C_GetInfo - C_GetSlotList - - C_GetMechanismList C_GetMechanismInfo - - - C_OpenSession "
    "C_CloseSession - - - - C_Login C_Logout - - C_DestroyObject - C_GetAttributeValue C_SetAttributeValue "
    "C_FindObjectsInit C_FindObjects C_FindObjectsFinal C_EncryptInit C_Encrypt - - C_DecryptInit C_Decrypt - - C_DigestInit "
    "C_Digest - - - C_SignInit C_Sign - - - - C_VerifyInit C_Verify - - - - - - - - C_GenerateKey C_GenerateKeyPair "
    "C_WrapKey C_UnwrapKey C_DeriveKey - - - - -"
).split()
CKF_ENCRYPT, CKF_DECRYPT, CKF_DIGEST, CKF_SIGN, CKF_VERIFY = 0x100, 0x200, 0x400, 0x800, 0x2000
CKF_GENERATE, CKF_GENERATE_KEY_PAIR, CKF_WRAP, CKF_UNWRAP, CKF_DERIVE = 0x8000, 0x10000, 0x20000, 0x40000, 0x80000
CKO_PUBLIC, CKO_PRIVATE, CKO_SECRET = 2, 3, 4
CKA_CLASS, CKA_KEY_TYPE, CKA_VALUE_LEN, CKA_VALUE, CKA_EXTRACTABLE = 0, 0x100, 0x161, 0x11, 0x162
CKA_SIGN, CKA_VERIFY, CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE = (
    0x108, 0x10A, 0x104, 0x105, 0x106, 0x107, 0x10C,
)
CKA_MODULUS_BITS, CKA_PUBLIC_EXPONENT, CKA_EC_PARAMS, CKA_EC_POINT = 0x121, 0x122, 0x180, 0x181
CKA_PRIME, CKA_SUBPRIME, CKA_BASE = 0x130, 0x131, 0x132
CKA_IBM_ATTRBOUND = 0x80010004
CKK = {"rsa": 0, "dsa": 1, "dh": 2, "ec": 3, "generic": 0x10, "des2": 0x14, "des3": 0x15, "aes": 0x1F, "edwards": 0x40}
CKR_SIGNATURE_INVALID, CKR_SIGNATURE_LEN_RANGE = 0xC0, 0xC1


class Mechanism(Structure):
    _fields_ = [("mechanism", c_ulong), ("parameter", c_void_p), ("length", c_ulong)]


class Attribute(Structure):
    _fields_ = [("type", c_ulong), ("value", c_void_p), ("length", c_ulong)]


class MechanismInfo(Structure):
    _fields_ = [("smallest", c_ulong), ("largest", c_ulong), ("flags", c_ulong)]


class Pss(Structure):
    _fields_ = [("hash", c_ulong), ("mgf", c_ulong), ("salt", c_ulong)]


class Oaep(Structure):
    _fields_ = [("hash", c_ulong), ("mgf", c_ulong), ("source", c_ulong), ("data", c_void_p), ("length", c_ulong)]


class Ecdh(Structure):
    _fields_ = [("kdf", c_ulong), ("shared", c_ulong), ("data", c_void_p), ("length", c_ulong), ("point", c_void_p)]


class Ctr(Structure):
    _fields_ = [("bits", c_ulong), ("block", c_ubyte * 16)]


class Gcm(Structure):
    _fields_ = [("iv", c_void_p), ("length", c_ulong), ("bits", c_ulong), ("aad", c_void_p), ("aad_length", c_ulong),
                ("tag_bits", c_ulong)]


class Refused(Exception):
    def __init__(self, function, value):
        super().__init__("%s: 0x%x" % (function, value))
        self.value = value


class Module:
    """A module that is loaded, and a session in which its user is logged in."""

    def __init__(self, path, pin=None):
        listed = c_void_p()
        ctypes.CDLL(path).C_GetFunctionList(byref(listed))
        # CK_VERSION comes first, and the functions are aligned behind it.
        pointers = cast(listed.value + sizeof(c_void_p), POINTER(c_void_p))
        self.functions = {
            name: ctypes.CFUNCTYPE(c_ulong)(pointers[i]) for i, name in enumerate(FUNCTIONS) if name != "-"
        }
        # Locks of the system: p11-kit's module refuses other arguments.
        arguments = (c_void_p * 6)(None, None, None, None, 2, None)
        self.call("C_Initialize", cast(arguments, c_void_p))
        count = c_ulong(1)
        self.slot = c_ulong()
        self.call("C_GetSlotList", c_ubyte(1), byref(self.slot), byref(count))
        if not count.value:
            raise Refused("no token", 0)
        self.session = c_ulong()
        self.call("C_OpenSession", self.slot, c_ulong(6), None, None, byref(self.session))
        if pin:
            self.call("C_Login", self.session, c_ulong(1), pin, c_ulong(len(pin)))

    def call(self, name, *arguments):
        returned = self.functions[name](*arguments)
        if returned:
            raise Refused(name, returned)

    def mechanisms(self):
        count = c_ulong()
        self.call("C_GetMechanismList", self.slot, None, byref(count))
        numbers = (c_ulong * count.value)()
        self.call("C_GetMechanismList", self.slot, numbers, byref(count))
        return list(numbers[: count.value])

    def info(self, number):
        info = MechanismInfo()
        self.call("C_GetMechanismInfo", self.slot, c_ulong(number), byref(info))
        return info

    # ---- Keys

    def key(self, mechanism, template):
        handle, (attributes, count) = c_ulong(), template_of(template)
        self.call("C_GenerateKey", self.session, byref(mechanism), attributes, count, byref(handle))
        return handle

    def pair(self, mechanism, public_template, private_template):
        public, private = c_ulong(), c_ulong()
        (of_public, public_count), (of_private, private_count) = template_of(public_template), template_of(private_template)
        self.call("C_GenerateKeyPair", self.session, byref(mechanism), of_public, public_count, of_private, private_count,
                  byref(public), byref(private))
        return public, private

    def attribute(self, key, kind):
        asked = Attribute(kind, None, 0)
        self.call("C_GetAttributeValue", self.session, key, byref(asked), c_ulong(1))
        room = create_string_buffer(asked.length)
        asked.value = cast(room, c_void_p)
        self.call("C_GetAttributeValue", self.session, key, byref(asked), c_ulong(1))
        return room.raw[: asked.length]

    # ---- Operations

    def transform(self, init, function, mechanism, key, data):
        handle = () if key is None else (key,)
        self.call(init, self.session, byref(mechanism), *handle)
        room, length = create_string_buffer(len(data) + 1024), c_ulong(len(data) + 1024)
        self.call(function, self.session, data, c_ulong(len(data)), room, byref(length))
        return room.raw[: length.value]

    def encrypt(self, mechanism, key, data):
        return self.transform("C_EncryptInit", "C_Encrypt", mechanism, key, data)

    def decrypt(self, mechanism, key, data):
        return self.transform("C_DecryptInit", "C_Decrypt", mechanism, key, data)

    def digest(self, mechanism, data):
        return self.transform("C_DigestInit", "C_Digest", mechanism, None, data)

    def sign(self, mechanism, key, data):
        return self.transform("C_SignInit", "C_Sign", mechanism, key, data)

    def verifies(self, mechanism, key, data, signature):
        self.call("C_VerifyInit", self.session, byref(mechanism), key)
        try:
            self.call("C_Verify", self.session, data, c_ulong(len(data)), signature, c_ulong(len(signature)))
        except Refused as refused:
            if refused.value in (CKR_SIGNATURE_INVALID, CKR_SIGNATURE_LEN_RANGE):
                return False
            raise
        return True

    def wrap(self, mechanism, kek, key):
        room, length = create_string_buffer(8192), c_ulong(8192)
        self.call("C_WrapKey", self.session, byref(mechanism), kek, key, room, byref(length))
        return room.raw[: length.value]

    def unwrap(self, mechanism, kek, wrapped, template):
        handle, (attributes, count) = c_ulong(), template_of(template)
        self.call("C_UnwrapKey", self.session, byref(mechanism), kek, wrapped, c_ulong(len(wrapped)), attributes, count,
                  byref(handle))
        return handle

    def derive(self, mechanism, base, template):
        handle, (attributes, count) = c_ulong(), template_of(template)
        self.call("C_DeriveKey", self.session, byref(mechanism), base, attributes, count, byref(handle))
        return handle


def template_of(values):
    """A dictionary of flags, numbers and bytes as CK_ATTRIBUTEs."""
    attributes = (Attribute * len(values))()
    attributes.kept = []
    for attribute, (kind, value) in zip(attributes, values.items()):
        if isinstance(value, bool):
            encoded = bytes([value])
        elif isinstance(value, int):
            encoded = value.to_bytes(sizeof(c_ulong), sys.byteorder)
        else:
            encoded = value
        room = create_string_buffer(encoded, len(encoded))
        attributes.kept.append(room)
        attribute.type, attribute.value, attribute.length = kind, cast(room, c_void_p), len(encoded)
    return attributes, c_ulong(len(values))


def mechanism(number, parameter=None):
    """With a structure or bytes as its parameter."""
    if isinstance(parameter, bytes):
        parameter = create_string_buffer(parameter, len(parameter))
    made = Mechanism(number, cast(byref(parameter), c_void_p) if parameter else None, sizeof(parameter) if parameter else 0)
    made.kept = parameter
    return made


# ---- What each mechanism takes

P256 = bytes.fromhex("06082a8648ce3d030107")
ED25519, ED448 = bytes.fromhex("06032b6570"), bytes.fromhex("06032b6571")
X25519, X448 = bytes.fromhex("06032b656e"), bytes.fromhex("06032b656f")
# Of OpenSSL's dsa_paramgen_bits:1024, dsa_paramgen_q_bits:160.
DSA = {
    CKA_PRIME: bytes.fromhex(
        "c738486dd8518d2c63429d3366c6ff6b834eebecbb33ef91a85c4da5cd8d74340fdb83f5a85991c9bf165896c4c84ea1237846338d174b5c8c14"
        "992ab32ea592c5d2bb379eb4773a832045009d1a3cfc4350c20ae3213dbf631e294f86cd7101c8e148927cdf51382d7f867bff033cc3e1df4ebc"
        "3899d047bf894e31c8712d29"),
    CKA_SUBPRIME: bytes.fromhex("c7a76e032894f3ff03a0c16b84f4c0b68a430523"),
    CKA_BASE: bytes.fromhex(
        "8e58c70fdba8e622e4b29ce459434e4a93b7e0ecb3985efae6567222053a6c254b9394fdd3107f1a32509ae0e6e23bfa67a2e4e16b96c4b1c014"
        "ff9190427bdd549457d5fdc49888950d74672a8ec76b37b8fc0f663a120e565195e1d3a714ff9470b90d3b026d6688cd9459ea31a8f69db4797b"
        "2855591a26504dba24d1d385"),
}
# RFC 3526, 3: the 2048-bit MODP group.
DH = {
    CKA_PRIME: bytes.fromhex(
        "ffffffffffffffffc90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b139b22514a08798e3404ddef9519b3cd3a431b302b"
        "0a6df25f14374fe1356d6d51c245e485b576625e7ec6f44c42e9a637ed6b0bff5cb6f406b7edee386bfb5a899fa5ae9f24117c4b1fe649286651"
        "ece45b3dc2007cb8a163bf0598da48361c55d39a69163fa8fd24cf5f83655d23dca3ad961c62f356208552bb9ed529077096966d670c354e4abc"
        "9804f1746c08ca18217c32905e462e36ce3be39e772c180e86039b2783a2ec07a28fb5c55df06f4c52c9de2bcbf6955817183995497cea956ae5"
        "15d2261898fa051015728e5a8aacaa68ffffffffffffffff"),
    CKA_BASE: b"\x02",
}
BLOCKS, MESSAGE = b"0123456789abcdef" * 4, b"what an application signs, or encrypts"
IV = bytes(range(16))
AES_GEN, RSA_GEN, EC_GEN, EDWARDS_GEN, GENERIC_GEN = 0x1080, 0, 0x1040, 0x1055, 0x350
SECRETS = {"aes": (AES_GEN, 32), "des2": (0x130, None), "des3": (0x131, None), "generic": (GENERIC_GEN, 32)}
SHA1, SHA224, SHA256, SHA384, SHA512 = 0x220, 0x255, 0x250, 0x260, 0x270
MGF = {SHA1: 1, SHA256: 2, SHA384: 3, SHA512: 4, SHA224: 5}
LENGTHS = {SHA1: 20, SHA224: 28, SHA256: 32, SHA384: 48, SHA512: 64}

DIGESTS = {
    0x220: "sha1", 0x250: "sha256", 0x255: "sha224", 0x260: "sha384", 0x270: "sha512", 0x4C: "sha512_256",
    0x80010012: "sha512_256", 0x48: "sha512_224", 0x80010013: "sha512_224", 0x80010001: "sha3_224",
    0x80010002: "sha3_256", 0x80010003: "sha3_384", 0x80010004: "sha3_512",
}


def gcm():
    made = Gcm(None, 12, 96, None, 0, 128)
    made.kept = create_string_buffer(IV[:12], 12)
    made.iv = cast(made.kept, c_void_p)
    return made


# Number: kind of key, parameter, data.
CIPHERS = {
    0x1: ("rsa", None, MESSAGE),
    0x9: ("rsa", Oaep(SHA1, MGF[SHA1], 1, None, 0), MESSAGE),
    0x1081: ("aes", None, BLOCKS),
    0x1082: ("aes", IV, BLOCKS),
    0x1085: ("aes", IV, MESSAGE),
    0x1086: ("aes", Ctr(128, (c_ubyte * 16)(*IV)), MESSAGE),
    0x1087: ("aes", gcm(), MESSAGE),
    0x132: ("des3", None, BLOCKS),
    0x133: ("des3", IV[:8], BLOCKS),
    0x136: ("des3", IV[:8], MESSAGE),
}
SIGNATURES = {
    0x1: ("rsa", None, MESSAGE),
    0xD: ("rsa", Pss(SHA256, MGF[SHA256], 32), MESSAGE[:32]),
    **{number: ("rsa", None, MESSAGE) for number in (0x6, 0x40, 0x41, 0x42, 0x46)},
    **{number: ("rsa", Pss(hashed, MGF[hashed], LENGTHS[hashed]), MESSAGE)
       for number, hashed in {0xE: SHA1, 0x43: SHA256, 0x44: SHA384, 0x45: SHA512, 0x47: SHA224}.items()},
    0x1041: ("ec", None, MESSAGE[:32]),
    **{number: ("ec", None, MESSAGE) for number in range(0x1042, 0x1047)},
    **{number: ("ec", None, MESSAGE) for number in range(0x80010008, 0x8001000C)},
    0x11: ("dsa", None, MESSAGE[:20]),
    **{number: ("dsa", None, MESSAGE) for number in range(0x12, 0x17)},
    0x1057: ("ed25519", None, MESSAGE),
    0x8001001C: ("ed25519", None, MESSAGE),
    0x8001001F: ("ed448", None, MESSAGE),
    0x108A: ("aes", None, MESSAGE),
    0x80010007: ("aes", None, MESSAGE),
    0x138: ("des3", None, MESSAGE),
    **{number: ("generic", None, MESSAGE)
       for number in (0x221, 0x251, 0x256, 0x261, 0x271, 0x4D, 0x49, 0x80010014, 0x80010015, *range(0x80010025, 0x80010029))},
}
WRAPPINGS = {
    0x1: ("rsa", None),
    0x9: ("rsa", Oaep(SHA1, MGF[SHA1], 1, None, 0)),
    0x1082: ("aes", IV),
    0x1085: ("aes", IV),
    0x133: ("des3", IV[:8]),
    0x136: ("des3", IV[:8]),
    0x2109: ("aes", None),
    0x210A: ("aes", None),
    0x80020004: ("bound", None),
}
# Kind of the pair, how the other's public value is handed over.
AGREEMENTS = {
    0x1050: ("ec", "ecdh"), 0x80020007: ("ec", "ecdh"), 0x8001001B: ("x25519", "ecdh"), 0x8001001E: ("x448", "ecdh"),
    0x21: ("dh", "value"), 0x80020006: ("dh", "value"),
}
# They give the whole shared value, and take no length.
RAW_DERIVATIONS = (0x80020006, 0x80020007)
HASH_DERIVATIONS = (0x392, 0x393, 0x394, 0x395, 0x396)
ENCRYPTING_DERIVATIONS = {0x1102: "des3"}
PAIR_GENERATIONS = {
    0x0: "rsa", 0xA: "rsa", 0x10: "dsa", 0x20: "dh", 0x1040: "ec", 0x1055: "ed25519",
}
KEY_GENERATIONS = {number: kind for kind, (number, length) in SECRETS.items()}
class Trips:
    """A round trip for each function; it raises what went wrong."""

    def __init__(self, module):
        self.module = module
        self.keys = {}

    def pair(self, kind, number=None, bound=False):
        """Cached, unless it is made to see the mechanism work."""
        if number is None and (kind, bound) in self.keys:
            return self.keys[kind, bound]
        of_public, of_private = {CKA_CLASS: CKO_PUBLIC}, {CKA_CLASS: CKO_PRIVATE}
        if kind == "rsa":
            of_public.update({CKA_MODULUS_BITS: 2048, CKA_PUBLIC_EXPONENT: b"\x01\x00\x01", CKA_ENCRYPT: True, CKA_VERIFY: True,
                              CKA_WRAP: True})
            of_private.update({CKA_DECRYPT: True, CKA_SIGN: True, CKA_UNWRAP: True})
            generation = RSA_GEN
        elif kind in ("dsa", "dh"):
            of_public.update(DSA if kind == "dsa" else DH)
            of_public.update({CKA_VERIFY: True} if kind == "dsa" else {CKA_DERIVE: True})
            of_private.update({CKA_SIGN: True} if kind == "dsa" else {CKA_DERIVE: True})
            generation = 0x10 if kind == "dsa" else 0x20
        else:
            curve = {"ec": P256, "ed25519": ED25519, "ed448": ED448, "x25519": X25519, "x448": X448}[kind]
            of_public.update({CKA_EC_PARAMS: curve})
            if not kind.startswith("x"):
                of_public.update({CKA_VERIFY: True})
                of_private.update({CKA_SIGN: True})
            if not kind.startswith("ed"):
                of_private.update({CKA_DERIVE: True})
            generation = EDWARDS_GEN if kind.startswith("ed") else EC_GEN
        made = self.module.pair(mechanism(generation if number is None else number), of_public, of_private)
        if number is None:
            self.keys[kind, bound] = made
        return made

    def secret(self, kind, number=None, **extra):
        generation, length = SECRETS[kind]
        template = {CKA_CLASS: CKO_SECRET, CKA_EXTRACTABLE: True}
        if kind == "generic":
            template.update({CKA_SIGN: True, CKA_VERIFY: True, CKA_DERIVE: True})
        else:
            template.update({CKA_ENCRYPT: True, CKA_DECRYPT: True, CKA_WRAP: True, CKA_UNWRAP: True, CKA_SIGN: True,
                             CKA_VERIFY: True, CKA_DERIVE: True})
        if length:
            template[CKA_VALUE_LEN] = length
        template.update({int(name): value for name, value in extra.items()})
        return self.module.key(mechanism(generation if number is None else number), template)

    def for_use(self, kind, public):
        """Both halves of a pair, or a secret key twice."""
        if kind in SECRETS:
            if kind not in self.keys:
                self.keys[kind] = self.secret(kind)
            return self.keys[kind]
        return self.pair(kind)[0 if public else 1]

    def encrypt(self, number):
        kind, parameter, data = CIPHERS[number]
        used = mechanism(number, parameter)
        encrypted = self.module.encrypt(used, self.for_use(kind, True), data)
        expect(encrypted != data, "the ciphertext is the plaintext")
        expect(self.module.decrypt(used, self.for_use(kind, False), encrypted) == data, "another plaintext")

    def sign(self, number):
        kind, parameter, data = SIGNATURES[number]
        used = mechanism(number, parameter)
        signature = self.module.sign(used, self.for_use(kind, False), data)
        expect(self.module.verifies(used, self.for_use(kind, True), data, signature), "a good signature is refused")
        changed = bytes([data[0] ^ 1]) + data[1:]
        expect(not self.module.verifies(used, self.for_use(kind, True), changed, signature), "a signature of other data is taken")

    def digest(self, number):
        digest = self.module.digest(mechanism(number), MESSAGE)
        expect(digest == hashlib.new(DIGESTS[number], MESSAGE).digest(), "another digest than Python's")

    def generate(self, number):
        kind = KEY_GENERATIONS[number]
        same_key(self.module, self.secret(kind, number), None, kind)

    def generate_pair(self, number):
        kind = PAIR_GENERATIONS[number]
        public, private = self.pair(kind, number)
        if kind == "dh":
            expect(len(self.module.attribute(public, CKA_VALUE)) == 256, "a public value of another length")
            return
        used, data = {"rsa": (0x40, MESSAGE), "dsa": (0x11, MESSAGE[:20]), "ec": (0x1041, MESSAGE[:32]),
                      "ed25519": (0x1057, MESSAGE)}[kind]
        signature = self.module.sign(mechanism(used), private, data)
        expect(self.module.verifies(mechanism(used), public, data, signature), "the halves do not fit")

    def wrap(self, number):
        kind, parameter = WRAPPINGS[number]
        if kind == "bound":
            self.wrap_bound(number)
            return
        used = mechanism(number, parameter)
        key = self.secret("aes")
        wrapped = self.module.wrap(used, self.for_use(kind, True), key)
        template = {CKA_CLASS: CKO_SECRET, CKA_KEY_TYPE: CKK["aes"], CKA_ENCRYPT: True, CKA_DECRYPT: True}
        if parameter == IV or parameter == IV[:8] or number == 0x1:
            template[CKA_VALUE_LEN] = 32
        same_key(self.module, key, self.module.unwrap(used, self.for_use(kind, False), wrapped, template), "aes")

    def wrap_bound(self, number):
        """Key, wrapping key and MAC key are all bound to their attributes (docs/key-blob.md)."""
        bound = {str(CKA_IBM_ATTRBOUND): True, str(CKA_SIGN): False, str(CKA_VERIFY): False, str(CKA_DERIVE): False}
        mac = self.secret("generic", **bound)
        kek, key = self.secret("aes", **bound), self.secret("aes", **bound)
        used = mechanism(number, c_ulong(mac.value))
        wrapped = self.module.wrap(used, kek, key)
        unwrapped = self.module.unwrap(used, kek, wrapped, {CKA_CLASS: CKO_SECRET, CKA_KEY_TYPE: CKK["aes"]})
        same_key(self.module, key, unwrapped, "aes")

    def derive(self, number):
        result = "generic" if number in RAW_DERIVATIONS else "aes"
        template = {CKA_CLASS: CKO_SECRET, CKA_KEY_TYPE: CKK[result]}
        if result == "generic":
            template.update({CKA_SIGN: True, CKA_VERIFY: True})
        else:
            template.update({CKA_VALUE_LEN: 16, CKA_ENCRYPT: True, CKA_DECRYPT: True})
        if number in HASH_DERIVATIONS:
            base = self.secret("generic")
            made = [self.module.derive(mechanism(number), base, template) for _ in range(2)]
        elif number in ENCRYPTING_DERIVATIONS:
            base = self.secret(ENCRYPTING_DERIVATIONS[number])
            made = [self.module.derive(mechanism(number, IV), base, template) for _ in range(2)]
        else:
            kind, form = AGREEMENTS[number]
            pairs = [self.pair(kind, generation_of(kind)) for _ in range(2)]
            made = []
            for i in range(2):
                other, own = pairs[1 - i][0], pairs[i][1]
                value = self.module.attribute(other, CKA_VALUE if form == "value" else CKA_EC_POINT)
                made.append(self.module.derive(mechanism(number, value if form == "value" else ecdh(value)), own, template))
        same_key(self.module, made[0], made[1], result)

    def of(self, number, flags):
        """What was done; a flag without a round trip is a LookupError."""
        done = []
        for bits, name, trip in (
            (CKF_ENCRYPT | CKF_DECRYPT, "encrypt, decrypt", self.encrypt),
            (CKF_SIGN | CKF_VERIFY, "sign, verify", self.sign),
            (CKF_DIGEST, "digest", self.digest),
            (CKF_GENERATE, "generate", self.generate),
            (CKF_GENERATE_KEY_PAIR, "generate a pair", self.generate_pair),
            (CKF_WRAP | CKF_UNWRAP, "wrap, unwrap", self.wrap),
            (CKF_DERIVE, "derive", self.derive),
        ):
            if flags & bits:
                expect(flags & bits == bits, "half of: " + name)
                trip(number)
                done.append(name)
        expect(done, "no function that has a round trip")
        return "; ".join(done)


def generation_of(kind):
    return 0x20 if kind == "dh" else EC_GEN


def ecdh(point):
    made = Ecdh(1, 0, None, len(point), None)
    made.kept = create_string_buffer(point, len(point))
    made.point = cast(made.kept, c_void_p)
    return made


def same_key(module, one, other, kind):
    """Two keys are one when they encrypt alike; a key alone works when it does."""
    if kind == "generic":
        value = [module.sign(mechanism(0x251), key, MESSAGE) for key in (one, other or one)]
    else:
        value = [module.encrypt(mechanism(0x1081 if kind == "aes" else 0x132), key, BLOCKS) for key in (one, other or one)]
    expect(value[0] == value[1], "another key")


def expect(holds, otherwise):
    if not holds:
        raise AssertionError(otherwise)


def trips(path):
    module = Module(path, os.environ["PIN"].encode())
    walk, failed = Trips(module), 0
    numbers = module.mechanisms()
    for number in numbers:
        try:
            print("0x%x %s" % (number, walk.of(number, module.info(number).flags)))
        except KeyError:
            failed += 1
            print("0x%x NO ROUND TRIP: add it to interop/pkcs11/mechanisms.py" % number)
        except (AssertionError, Refused) as problem:
            failed += 1
            print("0x%x FAILED %s" % (number, problem))
    print("%d mechanisms, %d failed" % (len(numbers), failed))
    return 1 if failed or not numbers else 0


def main(command, path):
    if command == "trips":
        return trips(path)
    for number in Module(path).mechanisms():
        print("0x%x" % number)
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("trips", "list"):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
