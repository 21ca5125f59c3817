"""Where a PKCS #11 module puts objects, and who sees them there. Python 3.9 and its standard library; PIN in the environment.

    objects.py matrix MODULE     one line for each row of the table of docs/pkcs11.md
    objects.py conflict MODULE   two processes change one object: exactly one of them has to search again
"""

import os
import subprocess
import sys
from ctypes import byref, c_ulong

from mechanisms import (
    AES_GEN, CKA_CLASS, CKA_ENCRYPT, CKA_VALUE_LEN, CKO_SECRET, Module, Refused, expect, mechanism, template_of,
)

CKA_TOKEN, CKA_PRIVATE, CKA_LABEL = 1, 2, 3
CKU_SO, CKU_USER = 0, 1
CKR_USER_NOT_LOGGED_IN = 0x101
CKR_IBM_GREP11_CONFLICT = 0x80040004
CONFLICT = "CKR_IBM_GREP11_CONFLICT"
OFFICER, USER, ANONYMOUS = "security officer", "normal user", "anonymous user"


def logged_in(path, user):
    """In a process of its own: one application is one user."""
    module = Module(path)
    if user != ANONYMOUS:
        pin = os.environ["PIN"].encode()
        module.call("C_Login", module.session, c_ulong(CKU_SO if user == OFFICER else CKU_USER), pin, c_ulong(len(pin)))
    return module


def in_a_process(*arguments):
    """The standard output of this program with other arguments, as it comes."""
    return subprocess.run([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()


def find(module, label):
    attributes, count = template_of({CKA_LABEL: label.encode()})
    found, number = (c_ulong * 10)(), c_ulong()
    module.call("C_FindObjectsInit", module.session, attributes, count)
    module.call("C_FindObjects", module.session, found, c_ulong(10), byref(number))
    module.call("C_FindObjectsFinal", module.session)
    return [c_ulong(handle) for handle in found[: number.value]]


def make(path, user, token, private, label):
    """Makes a key and says its CKA_PRIVATE, or the return value; another process then looks who sees it."""
    module = logged_in(path, user)
    template = {CKA_CLASS: CKO_SECRET, CKA_VALUE_LEN: 16, CKA_ENCRYPT: True, CKA_LABEL: label.encode(), CKA_TOKEN: token}
    if private is not None:
        template[CKA_PRIVATE] = private
    try:
        key = module.key(mechanism(AES_GEN), template)
    except Refused as refused:
        return "0x%x" % refused.value
    is_private = module.attribute(key, CKA_PRIVATE) == b"\x01"
    expect(len(find(module, label)) == 1, "who made it does not find it")
    seen = [other for other in (USER, ANONYMOUS) if in_a_process("sees", path, other, label) == "1"]
    module.call("C_DestroyObject", module.session, key)
    return "private=%s seen by others: %s" % (is_private, " and ".join(seen) or "none")


# Who, CKA_TOKEN, CKA_PRIVATE of the template, and what comes of it.
PUBLIC_TOKEN = "private=False seen by others: %s and %s" % (USER, ANONYMOUS)
ROWS = (
    (OFFICER, False, False, "private=False seen by others: none"),
    (ANONYMOUS, False, False, "private=False seen by others: none"),
    (OFFICER, True, False, PUBLIC_TOKEN),
    (ANONYMOUS, True, False, PUBLIC_TOKEN),
    (USER, False, False, "private=False seen by others: none"),
    (USER, False, True, "private=True seen by others: none"),
    (USER, True, False, PUBLIC_TOKEN),
    (USER, True, True, "private=True seen by others: %s" % USER),
    (USER, True, None, "private=True seen by others: %s" % USER),
    (OFFICER, True, True, "0x%x" % CKR_USER_NOT_LOGGED_IN),
    (ANONYMOUS, True, True, "0x%x" % CKR_USER_NOT_LOGGED_IN),
)


def matrix(path):
    for number, (user, token, private, expected) in enumerate(ROWS):
        label = "row-%d-%d" % (os.getpid(), number)
        came = in_a_process("make", path, user, str(token), str(private), label)
        name = "%s, CKA_TOKEN %s, CKA_PRIVATE %s" % (user, token, "by default" if private is None else private)
        expect(came == expected, "%s: %s instead of %s" % (name, came, expected))
        print("%s: %s" % (name, came))


def conflict(path):
    """Both processes know the object before the first of them changes it."""
    maker = logged_in(path, USER)
    label = "conflict-%d" % os.getpid()
    template = {CKA_CLASS: CKO_SECRET, CKA_VALUE_LEN: 16, CKA_ENCRYPT: True, CKA_LABEL: label.encode(), CKA_TOKEN: True}
    key = maker.key(mechanism(AES_GEN), template)
    running = [
        subprocess.Popen([sys.executable, __file__, "change", path, USER, label], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in running:
        expect(process.stdout.readline() == "knows it\n", "it is not found")
    answers = []
    for process in running:
        process.stdin.write("now\n")
        process.stdin.flush()
        answers.append(process.stdout.readline().strip())
    for process in running:
        answers.append(process.stdout.readline().strip())
        process.stdin.close()
        expect(process.wait() == 0, "a process failed")
    maker.call("C_DestroyObject", maker.session, find(maker, label)[0] if find(maker, label) else key)
    expect(answers == ["changed", CONFLICT, "", "changed"], str(answers))
    print("two processes change one object: %s, and after another search %s" % (" and ".join(answers[:2]), answers[3]))


def change(path, user, label):
    module = logged_in(path, user)
    known = find(module, label)[0]
    module.attribute(known, CKA_CLASS)
    print("knows it", flush=True)
    sys.stdin.readline()
    first = set_start_date(module, known)
    print(first, flush=True)
    print(set_start_date(module, find(module, label)[0]) if first != "changed" else "", flush=True)


def set_start_date(module, key):
    attributes, count = template_of({0x110: b"20300101"})
    try:
        module.call("C_SetAttributeValue", module.session, key, attributes, count)
    except Refused as refused:
        return CONFLICT if refused.value == CKR_IBM_GREP11_CONFLICT else str(refused)
    return "changed"


def main(command, path, *rest):
    if command == "matrix":
        matrix(path)
    elif command == "conflict":
        conflict(path)
    elif command == "make":
        user, token, private, label = rest
        print(make(path, user, token == "True", None if private == "None" else private == "True", label))
    elif command == "sees":
        print(len(find(logged_in(path, rest[0]), rest[1])))
    else:
        change(path, *rest)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
