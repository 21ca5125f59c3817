'use strict';
// Constants, templates and ASN.1 as the JavaScript samples write them.

const crypto = require('node:crypto');
const asn1 = require('asn1.js');

const CKM = {
  RSA_PKCS_KEY_PAIR_GEN: 0x0, RSA_PKCS: 0x1, SHA1_RSA_PKCS: 0x6, RSA_PKCS_OAEP: 0x9, DSA_KEY_PAIR_GEN: 0x10,
  DSA_SHA1: 0x12, DH_PKCS_KEY_PAIR_GEN: 0x20, DH_PKCS_DERIVE: 0x21, SHA512_RSA_PKCS: 0x42, SHA512_RSA_PKCS_PSS: 0x45,
  DES3_KEY_GEN: 0x131, DES3_CBC_PAD: 0x136, SHA_1: 0x220, SHA256: 0x250, SHA256_HMAC: 0x251, SHA512: 0x270,
  GENERIC_SECRET_KEY_GEN: 0x350, EC_KEY_PAIR_GEN: 0x1040, ECDSA: 0x1041, ECDSA_SHA512: 0x1046, ECDH1_DERIVE: 0x1050,
  AES_KEY_GEN: 0x1080, AES_CBC_PAD: 0x1085, DSA_PARAMETER_GEN: 0x2000, DH_PKCS_PARAMETER_GEN: 0x2001,
  AES_KEY_WRAP_PAD: 0x210a, IBM_ED25519_SHA512: 0x8001001c, IBM_DILITHIUM: 0x80010023, IBM_KYBER: 0x80010024,
  IBM_ECDSA_OTHER: 0x80010031, IBM_EC_AGGREGATE: 0x80010034, IBM_ATTRIBUTEBOUND_WRAP: 0x80020004,
  IBM_TRANSPORTKEY: 0x80020005, IBM_BTC_DERIVE: 0x80070001,
};
const CKA = {
  CLASS: 0x0, TOKEN: 0x1, PRIVATE: 0x2, TRUSTED: 0x86, KEY_TYPE: 0x100, SENSITIVE: 0x103, ENCRYPT: 0x104,
  DECRYPT: 0x105, WRAP: 0x106, UNWRAP: 0x107, SIGN: 0x108, VERIFY: 0x10a, DERIVE: 0x10c, MODULUS_BITS: 0x121,
  PUBLIC_EXPONENT: 0x122, PRIME_BITS: 0x133, VALUE_LEN: 0x161, EXTRACTABLE: 0x162, EC_PARAMS: 0x180,
  IBM_ATTRBOUND: 0x80010004, IBM_USE_AS_DATA: 0x80010008, IBM_STRUCT_PARAMS: 0x80010009, IBM_PQC_PARAMS: 0x8001000e,
};
const CKO = { PUBLIC_KEY: 2, PRIVATE_KEY: 3, SECRET_KEY: 4 };
const CKK = { RSA: 0x0, EC: 0x3, GENERIC_SECRET: 0x10, AES: 0x1f };

const OID = {
  P256: [1, 2, 840, 10045, 3, 1, 7],
  SECP256K1: [1, 3, 132, 0, 10],
  BLS12_381: [1, 3, 6, 1, 4, 1, 2, 267, 999, 3, 2],
  DILITHIUM_HIGH: [1, 3, 6, 1, 4, 1, 2, 267, 1, 6, 5],
  KYBER_HIGH: [1, 3, 6, 1, 4, 1, 2, 267, 5, 4, 4],
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
const DhParameters = asn1.define('DhParameters', function () {
  this.seq().obj(this.key('prime').int(), this.key('base').int());
});
const Integer = asn1.define('Integer', function () {
  this.int();
});

// CKA_EC_PARAMS and CKA_IBM_PQC_PARAMS take the same form.
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

// The parameters of a published group, in the form that GenerateKey gives.
function dhParameters(group) {
  const known = crypto.getDiffieHellman(group);
  return DhParameters.encode({ prime: new asn1.bignum(known.getPrime()), base: new asn1.bignum(known.getGenerator()) }, 'der');
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

module.exports = { CKA, CKK, CKM, CKO, OID, curve, dhParameters, dhPublicValue, ecPublicKey, firstObject, template };
