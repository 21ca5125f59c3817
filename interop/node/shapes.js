'use strict';
// Constants, templates and ASN.1 as the JavaScript samples write them.

const asn1 = require('asn1.js');

const CKM = {
  RSA_PKCS_KEY_PAIR_GEN: 0x0, RSA_PKCS: 0x1, SHA1_RSA_PKCS: 0x6, DH_PKCS_KEY_PAIR_GEN: 0x20, DH_PKCS_DERIVE: 0x21,
  SHA256: 0x250, SHA256_HMAC: 0x251, DES3_KEY_GEN: 0x131, DES3_CBC_PAD: 0x136, EC_KEY_PAIR_GEN: 0x1040,
  ECDSA: 0x1041, ECDH1_DERIVE: 0x1050, AES_KEY_GEN: 0x1080, AES_CBC_PAD: 0x1085, AES_KEY_WRAP_PAD: 0x210a, DH_PKCS_PARAMETER_GEN: 0x2001,
  IBM_ED25519_SHA512: 0x8001001c,
};
const CKA = {
  CLASS: 0x0, TOKEN: 0x1, KEY_TYPE: 0x100, ENCRYPT: 0x104, DECRYPT: 0x105, WRAP: 0x106, UNWRAP: 0x107, SIGN: 0x108,
  VERIFY: 0x10a, DERIVE: 0x10c, MODULUS_BITS: 0x121, PUBLIC_EXPONENT: 0x122, PRIME_BITS: 0x133, VALUE_LEN: 0x161,
  EXTRACTABLE: 0x162, TRUSTED: 0x86, PRIVATE: 0x2, SENSITIVE: 0x103, EC_PARAMS: 0x180, IBM_STRUCT_PARAMS: 0x80010009,
};
const CKO = { SECRET_KEY: 4 };
const CKK = { GENERIC_SECRET: 0x10, AES: 0x1f };

const OID = {
  P256: [1, 2, 840, 10045, 3, 1, 7],
  ED25519: [1, 3, 101, 112],
  EC_PUBLIC_KEY: [1, 2, 840, 10045, 2, 1],
  DH_KEY_AGREEMENT: [1, 2, 840, 113549, 1, 3, 1],
};

const ObjectIdentifier = asn1.define('ObjectIdentifier', function () {
  this.objid();
});

// Strict by schema: an element too many inside, a NULL or a DH q, does not decode.
const EcPublicKey = asn1.define('EcPublicKey', function () {
  this.seq().obj(
    this.key('algorithm').seq().obj(this.key('id').objid(), this.key('curve').objid()),
    this.key('point').bitstr(),
  );
});
const DhPublicKey = asn1.define('DhPublicKey', function () {
  this.seq().obj(
    this.key('algorithm').seq().obj(
      this.key('id').objid(),
      this.key('parameters').seq().obj(this.key('prime').int(), this.key('base').int()),
    ),
    this.key('value').bitstr(),
  );
});
const Integer = asn1.define('Integer', function () {
  this.int();
});

function curve(oid) {
  return ObjectIdentifier.encode(oid, 'der');
}

// The first DER object of a blob; the trailer after it is the gateway's business.
function firstObject(blob) {
  let length = blob[1];
  let header = 2;
  if (length >= 0x80) {
    header += length & 0x7f;
    length = blob.readUIntBE(2, length & 0x7f);
  }
  return blob.subarray(0, header + length);
}

function ecPublicKey(blob) {
  return EcPublicKey.decode(firstObject(blob), 'der');
}

function dhPublicValue(blob) {
  const key = DhPublicKey.decode(firstObject(blob), 'der');
  return { id: key.algorithm.id, prime: key.algorithm.parameters.prime, value: Integer.decode(key.value.data, 'der') };
}

// A template of plain JavaScript values, as the samples convert it: boolean → TF, string and Buffer → B, number → I,
// the number as a decimal string.
function template(values) {
  return Object.fromEntries(
    Object.entries(values).map(([attribute, value]) => {
      if (typeof value === 'boolean') {
        return [attribute, { AttributeTF: value }];
      }
      if (typeof value === 'number') {
        return [attribute, { AttributeI: String(value) }];
      }
      return [attribute, { AttributeB: Buffer.from(value) }];
    }),
  );
}

module.exports = { CKA, CKK, CKM, CKO, OID, curve, dhPublicValue, ecPublicKey, firstObject, template };
