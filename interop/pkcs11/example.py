"""Keys behind the gateway through python3-pykcs11: example.py MODULE, with PIN in the environment."""

import os
import sys

import PyKCS11
from PyKCS11 import CKF_RW_SESSION, CKF_SERIAL_SESSION, CKM_AES_CBC_PAD, CKM_ECDSA_SHA256, Mechanism
from PyKCS11.LowLevel import (
    CKA_CLASS, CKA_DECRYPT, CKA_EC_PARAMS, CKA_ENCRYPT, CKA_KEY_TYPE, CKA_LABEL, CKA_SIGN, CKA_TOKEN, CKA_VALUE_LEN,
    CKA_VERIFY, CKK_AES, CKK_EC, CKM_AES_KEY_GEN, CKM_EC_KEY_PAIR_GEN, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_SECRET_KEY,
)

# DER of the object identifier of P-256 (RFC 5480, 2.1.1.1).
P256 = bytes.fromhex("06082a8648ce3d030107")
MESSAGE = b"what is signed and encrypted"

library = PyKCS11.PyKCS11Lib()
library.load(sys.argv[1])
session = library.openSession(library.getSlotList(tokenPresent=True)[0], CKF_SERIAL_SESSION | CKF_RW_SESSION)
session.login(os.environ["PIN"])

public, private = session.generateKeyPair(
    [(CKA_CLASS, CKO_PUBLIC_KEY), (CKA_KEY_TYPE, CKK_EC), (CKA_TOKEN, True), (CKA_VERIFY, True), (CKA_EC_PARAMS, P256),
     (CKA_LABEL, "python")],
    [(CKA_CLASS, CKO_PRIVATE_KEY), (CKA_KEY_TYPE, CKK_EC), (CKA_TOKEN, True), (CKA_SIGN, True), (CKA_LABEL, "python")],
    Mechanism(CKM_EC_KEY_PAIR_GEN),
)
signature = session.sign(private, MESSAGE, Mechanism(CKM_ECDSA_SHA256))
if not session.verify(public, MESSAGE, signature, Mechanism(CKM_ECDSA_SHA256)):
    sys.exit("a good signature is refused")
signature[0] ^= 1
if session.verify(public, MESSAGE, signature, Mechanism(CKM_ECDSA_SHA256)):
    sys.exit("a changed signature is taken")

secret = session.generateKey(
    [(CKA_CLASS, CKO_SECRET_KEY), (CKA_KEY_TYPE, CKK_AES), (CKA_VALUE_LEN, 32), (CKA_TOKEN, False), (CKA_ENCRYPT, True),
     (CKA_DECRYPT, True)],
    Mechanism(CKM_AES_KEY_GEN),
)
cbc = Mechanism(CKM_AES_CBC_PAD, os.urandom(16))
encrypted = session.encrypt(secret, MESSAGE, cbc)
if bytes(session.decrypt(secret, encrypted, cbc)) != MESSAGE:
    sys.exit("what was encrypted is not what was decrypted")

for key in session.findObjects([(CKA_LABEL, "python")]):
    session.destroyObject(key)
if session.findObjects([(CKA_LABEL, "python")]):
    sys.exit("destroyed keys are still there")
session.logout()
session.closeSession()
print("signed, verified, encrypted, decrypted, destroyed")
