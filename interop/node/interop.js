'use strict';
// Checks a running gateway as a client that knows only the wire.

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const client = require('./client');
const { BYTES, KEY_BLOB, callsOf, mechanism, sameInBothForms } = require('./calls');
const { SIGNATURE_INVALID, assertRefused, check, counted, refusal } = require('./checks');
const { RETRIES } = require('./example');
const { samples } = require('./samples');
const { CKA, CKK, CKM, CKO, OID, curve, dhPublicValue, ecPublicKey, firstObject, template } = require('./shapes');

const MESSAGE = Buffer.from('pay 10 to Alice, and nothing to Mallory');

const DIALECTS = [BYTES, KEY_BLOB];

async function tokens(setting) {
  let token;
  for (const [style, request] of [
    ['form body, unescaped', client.tokenRequestInBody(setting.apiKey)],
    ['query string, empty body', client.tokenRequestInQuery(setting.apiKey)],
  ]) {
    await check(`token: ${style}`, async () => {
      const { status, json } = await client.fetchToken(setting, request);
      assert.equal(status, 200, `HTTP ${status} ${json.errorCode ?? ''} ${json.errorMessage ?? ''}`);
      assert.match(json.access_token, /^[\w-]+\.[\w-]+\.[\w-]+$/);
      assert.equal(json.token_type, 'Bearer');
      assert.ok(json.expires_in > 0);
      const now = Date.now() / 1000;
      assert.ok(Math.abs(json.expiration - now - json.expires_in) < 120, `expiration ${json.expiration}`);
      token = json.access_token;
    });
  }
  for (const [style, make] of [
    ['form body', client.tokenRequestInBody],
    ['query string', client.tokenRequestInQuery],
  ]) {
    await check(`token: a wrong API key in the ${style} is refused with errorCode and errorMessage`, async () => {
      const { status, json } = await client.fetchToken(setting, make('no-such-key'));
      assert.ok(status >= 400 && status < 500, `HTTP ${status}`);
      assert.equal(typeof json.errorCode, 'string');
      assert.equal(typeof json.errorMessage, 'string');
      assert.equal(json.access_token, undefined);
    });
  }
  return token;
}

async function withoutKeys(stub) {
  await check('GetMechanismList begins with CKM_RSA_PKCS', async () => {
    const { Mechs } = await stub.GetMechanismList({});
    assert.equal(Mechs[0], String(CKM.RSA_PKCS));
    assert.equal(new Set(Mechs).size, Mechs.length, 'a mechanism is listed twice');
  });
  await check('GetMechanismInfo of every listed mechanism', async () => {
    const { Mechs } = await stub.GetMechanismList({});
    for (const mech of Mechs) {
      const { MechInfo } = await stub.GetMechanismInfo({ Mech: mech });
      assert.ok(BigInt(MechInfo.MinKeySize) <= BigInt(MechInfo.MaxKeySize), `mechanism ${mech}`);
    }
  });
  await check('GetMechanismInfo of AES_KEY_GEN is 16, 32, 0x8000', async () => {
    const { MechInfo } = await stub.GetMechanismInfo({ Mech: String(CKM.AES_KEY_GEN) });
    assert.deepEqual(
      [MechInfo.MinKeySize, MechInfo.MaxKeySize, MechInfo.Flags].map(Number),
      [16, 32, 0x8000],
    );
  });
  await check('GetMechanismInfo of an unknown mechanism is refused with CKR_MECHANISM_INVALID', async () => {
    const error = await refusal(stub.GetMechanismInfo({ Mech: '4276996862' }));
    assertRefused(error, { status: client.grpc.status.UNKNOWN, name: 'CKR_MECHANISM_INVALID', code: 0x70 });
  });
  await check('GenerateRandom gives what was asked for, and never the same', async () => {
    const { Rnd: first } = await stub.GenerateRandom({ Len: '16' });
    const { Rnd: second } = await stub.GenerateRandom({ Len: 16 });
    assert.equal(first.length, 16);
    assert.notDeepEqual(first, second);
  });
  for (const length of [0, 1_000_001]) {
    await check(`GenerateRandom of ${length} bytes is refused with CKR_ARGUMENTS_BAD`, async () => {
      const error = await refusal(stub.GenerateRandom({ Len: String(length) }));
      assertRefused(error, { status: client.grpc.status.UNKNOWN, name: 'CKR_ARGUMENTS_BAD', code: 7 });
    });
  }
  await check('DigestSingle is the SHA-256 that Node computes', async () => {
    const { Digest } = await stub.DigestSingle({ Mech: mechanism(CKM.SHA256), Data: MESSAGE });
    assert.deepEqual(Digest, crypto.createHash('sha256').update(MESSAGE).digest());
  });
}

async function inDialect(stub, dialect) {
  const dialectCheck = (name, body) => check(`${dialect.name}: ${name}`, body);
  const state = {};
  const need = (name) => {
    assert.ok(state[name], `an earlier check did not make ${name}`);
    return state[name];
  };
  const calls = callsOf(stub, dialect);
  const { generateKey, generateKeyPair: generatePair, random: iv } = calls;
  const roundTrip = async (mech, encryptionKey, decryptionKey) => {
    const { Ciphered } = await stub.EncryptSingle({ Mech: mech, Plain: MESSAGE, ...dialect.key('Key', encryptionKey) });
    assert.notDeepEqual(Ciphered, MESSAGE);
    const { Plain } = await stub.DecryptSingle({ Mech: mech, Ciphered, ...dialect.key('Key', decryptionKey) });
    assert.deepEqual(Plain, MESSAGE);
    return Ciphered;
  };
  const signAndVerify = async (mech, pair, data) => {
    const { Signature } = await stub.SignSingle({ Mech: mech, Data: data, ...dialect.key('PrivKey', pair.privateKey) });
    const verification = { Mech: mech, Data: data, ...dialect.key('PubKey', pair.publicKey) };
    await stub.VerifySingle({ ...verification, Signature });
    const changed = Buffer.from(Signature);
    changed[changed.length - 1] ^= 1;
    const error = await refusal(stub.VerifySingle({ ...verification, Signature: changed }));
    assertRefused(error, SIGNATURE_INVALID);
    return Signature;
  };

  // As encrypt-and-decrypt of the samples has it, TOKEN included.
  await dialectCheck('GenerateKey AES-128 with TOKEN true', async () => {
    state.aes = await generateKey(mechanism(CKM.AES_KEY_GEN), {
      [CKA.VALUE_LEN]: 16,
      [CKA.WRAP]: false,
      [CKA.UNWRAP]: false,
      [CKA.ENCRYPT]: true,
      [CKA.DECRYPT]: true,
      [CKA.EXTRACTABLE]: false,
      [CKA.TOKEN]: true,
    });
    assert.equal(state.aes.checkSum.length, 3, 'check sum');
  });
  await dialectCheck('EncryptSingle and DecryptSingle, AES_CBC_PAD', async () => {
    const mech = mechanism(CKM.AES_CBC_PAD, { ParameterB: await iv(16) });
    assert.equal((await roundTrip(mech, need('aes').key, need('aes').key)).length, 48);
  });
  await dialectCheck('the check sum is the start of a zero block encrypted', async () => {
    const zeros = Buffer.alloc(16);
    const { Ciphered } = await stub.EncryptSingle({
      Mech: mechanism(CKM.AES_CBC_PAD, { ParameterB: zeros }),
      Plain: zeros,
      ...dialect.key('Key', need('aes').key),
    });
    assert.deepEqual(Ciphered.subarray(0, 3), need('aes').checkSum);
  });
  await dialectCheck('GenerateKey DES3 although VALUE_LEN says 32, encrypt, decrypt', async () => {
    const key = await generateKey(mechanism(CKM.DES3_KEY_GEN), {
      [CKA.VALUE_LEN]: 32,
      [CKA.ENCRYPT]: true,
      [CKA.DECRYPT]: true,
    });
    await roundTrip(mechanism(CKM.DES3_CBC_PAD, { ParameterB: await iv(8) }), key.key, key.key);
  });
  await dialectCheck('SignSingle and VerifySingle, SHA256_HMAC with a secret key in PrivKey and PubKey', async () => {
    const key = await generateKey(mechanism(CKM.AES_KEY_GEN), { [CKA.VALUE_LEN]: 32, [CKA.SIGN]: true, [CKA.VERIFY]: true });
    const mac = await signAndVerify(mechanism(CKM.SHA256_HMAC), { privateKey: key.key, publicKey: key.key }, MESSAGE);
    assert.equal(mac.length, 32);
  });

  await dialectCheck('GenerateKeyPair RSA-2048, public exponent 17 as a number', async () => {
    state.rsa = await generatePair(
      mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
      {
        [CKA.ENCRYPT]: true,
        [CKA.VERIFY]: true,
        [CKA.MODULUS_BITS]: 2048,
        [CKA.PUBLIC_EXPONENT]: 17,
        [CKA.EXTRACTABLE]: false,
      },
      { [CKA.PRIVATE]: true, [CKA.SENSITIVE]: true, [CKA.DECRYPT]: true, [CKA.SIGN]: true, [CKA.EXTRACTABLE]: false },
    );
    const key = crypto.createPublicKey({ key: firstObject(state.rsa.publicKey), format: 'der', type: 'spki' });
    assert.equal(key.asymmetricKeyDetails.modulusLength, 2048);
    assert.equal(key.asymmetricKeyDetails.publicExponent, 17n);
  });
  await dialectCheck('SignSingle and VerifySingle, SHA1_RSA_PKCS, and Node agrees', async () => {
    const signature = await signAndVerify(mechanism(CKM.SHA1_RSA_PKCS), need('rsa'), MESSAGE);
    const key = crypto.createPublicKey({ key: firstObject(need('rsa').publicKey), format: 'der', type: 'spki' });
    assert.ok(crypto.verify('sha1', MESSAGE, key, signature));
  });

  await dialectCheck('GenerateKeyPair P-256; its public key decodes strictly', async () => {
    state.ec = await generatePair(
      mechanism(CKM.EC_KEY_PAIR_GEN),
      { [CKA.EC_PARAMS]: curve(OID.P256), [CKA.VERIFY]: true },
      { [CKA.SIGN]: true, [CKA.EXTRACTABLE]: false },
    );
    const key = ecPublicKey(state.ec.publicKey);
    assert.deepEqual(key.algorithm.id, OID.EC_PUBLIC_KEY);
    assert.deepEqual(key.algorithm.curve, OID.P256);
    assert.equal(key.point.data.length, 65);
  });
  await dialectCheck('SignSingle and VerifySingle, ECDSA over a hash, and Node agrees', async () => {
    const hash = crypto.createHash('sha256').update(MESSAGE).digest();
    const signature = await signAndVerify(mechanism(CKM.ECDSA), need('ec'), hash);
    assert.equal(signature.length, 64);
    const key = crypto.createPublicKey({ key: firstObject(need('ec').publicKey), format: 'der', type: 'spki' });
    assert.ok(crypto.verify('sha256', MESSAGE, { key, dsaEncoding: 'ieee-p1363' }, signature));
  });
  await dialectCheck('SignSingle and VerifySingle, ECDSA over 64 ASCII characters', async () => {
    const text = Buffer.from(crypto.createHash('sha256').update(MESSAGE).digest('hex'));
    await signAndVerify(mechanism(CKM.ECDSA), need('ec'), text);
  });
  await dialectCheck('VerifySingle with a bare SubjectPublicKeyInfo', async () => {
    const hash = crypto.createHash('sha256').update(MESSAGE).digest();
    const bare = { privateKey: need('ec').privateKey, publicKey: firstObject(need('ec').publicKey) };
    await signAndVerify(mechanism(CKM.ECDSA), bare, hash);
  });

  await dialectCheck('Ed25519: GenerateKeyPair, SignSingle, VerifySingle, and Node agrees', async () => {
    const pair = await generatePair(
      mechanism(CKM.EC_KEY_PAIR_GEN),
      { [CKA.EC_PARAMS]: curve(OID.ED25519), [CKA.VERIFY]: true },
      { [CKA.SIGN]: true, [CKA.EXTRACTABLE]: false },
    );
    const spki = ecPublicKey(pair.publicKey);
    assert.deepEqual(spki.algorithm.id, OID.EC_PUBLIC_KEY, 'not the form of RFC 8410');
    assert.deepEqual(spki.algorithm.curve, OID.ED25519);
    assert.equal(spki.point.data.length, 32);
    const signature = await signAndVerify(mechanism(CKM.IBM_ED25519_SHA512), pair, MESSAGE);
    assert.equal(signature.length, 64);
    const rfc8410 = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), spki.point.data]);
    const key = crypto.createPublicKey({ key: rfc8410, format: 'der', type: 'spki' });
    assert.ok(crypto.verify(null, MESSAGE, key, signature));
  });

  // As wrap-and-unwrap-key of the samples has it.
  await dialectCheck('WrapKey and UnwrapKey, RSA_PKCS; the check sum is a prefix', async () => {
    const kek = await generatePair(
      mechanism(CKM.RSA_PKCS_KEY_PAIR_GEN),
      { [CKA.WRAP]: true, [CKA.MODULUS_BITS]: 2048, [CKA.PUBLIC_EXPONENT]: 17, [CKA.EXTRACTABLE]: false },
      { [CKA.UNWRAP]: true, [CKA.EXTRACTABLE]: false },
    );
    const key = await generateKey(mechanism(CKM.AES_KEY_GEN), {
      [CKA.VALUE_LEN]: 16,
      [CKA.ENCRYPT]: true,
      [CKA.DECRYPT]: true,
      [CKA.EXTRACTABLE]: true,
    });
    const mech = mechanism(CKM.RSA_PKCS);
    const { Wrapped } = await stub.WrapKey({
      Mech: mech,
      ...dialect.key('Key', key.key),
      ...dialect.key('KeK', kek.publicKey),
    });
    assert.equal(Wrapped.length, 256);
    const response = await stub.UnwrapKey({
      Wrapped,
      Mech: mech,
      ...dialect.key('KeK', kek.privateKey),
      Template: template({
        [CKA.CLASS]: CKO.SECRET_KEY,
        [CKA.KEY_TYPE]: CKK.AES,
        [CKA.VALUE_LEN]: 16,
        [CKA.ENCRYPT]: true,
        [CKA.DECRYPT]: true,
        [CKA.EXTRACTABLE]: false,
      }),
    });
    const unwrapped = dialect.taken(response, 'Unwrapped');
    assert.deepEqual(response.CheckSum.subarray(0, key.checkSum.length), key.checkSum);
    await roundTrip(mechanism(CKM.AES_CBC_PAD, { ParameterB: await iv(16) }), key.key, unwrapped);
  });
  await dialectCheck('attributes that a client writes into KeyBlob.Attributes change nothing', async () => {
    const made = await generateKey(mechanism(CKM.AES_KEY_GEN), { [CKA.VALUE_LEN]: 16, [CKA.EXTRACTABLE]: false });
    const claimed = template({ [CKA.EXTRACTABLE]: true, [CKA.WRAP]: true, [CKA.TRUSTED]: true });
    const blob = { KeyBlobs: [made.key], Attributes: claimed };
    const error = await refusal(
      stub.WrapKey({ Mech: mechanism(CKM.AES_KEY_WRAP_PAD), ...(dialect.name === 'KeyBlob' ? { Key: blob, KeK: blob } : { ...dialect.key('Key', made.key), KeK: blob }) }),
    );
    assertRefused(error, {
      status: client.grpc.status.UNKNOWN,
      name: 'CKR_KEY_FUNCTION_NOT_PERMITTED',
      code: 0x68,
    });
  });
  await dialectCheck('WrapKey with a key that may not wrap is refused', async () => {
    const key = await generateKey(mechanism(CKM.AES_KEY_GEN), { [CKA.VALUE_LEN]: 16, [CKA.EXTRACTABLE]: true });
    const error = await refusal(
      stub.WrapKey({
        Mech: mechanism(CKM.AES_CBC_PAD, { ParameterB: Buffer.alloc(16) }),
        ...dialect.key('Key', key.key),
        ...dialect.key('KeK', need('aes').key),
      }),
    );
    assertRefused(error, {
      status: client.grpc.status.UNKNOWN,
      name: 'CKR_KEY_FUNCTION_NOT_PERMITTED',
      code: 0x68,
    });
  });

  await dialectCheck('DeriveKey ECDH1 with the raw point in ParameterB; both sides agree', async () => {
    const ecdh = () =>
      generatePair(
        mechanism(CKM.EC_KEY_PAIR_GEN),
        { [CKA.EC_PARAMS]: curve(OID.P256), [CKA.VERIFY]: true, [CKA.EXTRACTABLE]: false },
        { [CKA.DERIVE]: true, [CKA.SIGN]: true, [CKA.EXTRACTABLE]: false },
      );
    const alice = await ecdh();
    const bob = await ecdh();
    const derive = async (own, peer) => {
      const response = await stub.DeriveKey({
        Mech: mechanism(CKM.ECDH1_DERIVE, { ParameterB: ecPublicKey(peer.publicKey).point.data }),
        ...dialect.key('BaseKey', own.privateKey),
        Template: template({
          [CKA.CLASS]: CKO.SECRET_KEY,
          [CKA.KEY_TYPE]: CKK.AES,
          [CKA.VALUE_LEN]: 16,
          [CKA.ENCRYPT]: true,
          [CKA.DECRYPT]: true,
        }),
      });
      return { key: dialect.taken(response, 'NewKey'), checkSum: response.CheckSum };
    };
    const first = await derive(alice, bob);
    const second = await derive(bob, alice);
    assert.deepEqual(first.checkSum, second.checkSum);
    await roundTrip(mechanism(CKM.AES_CBC_PAD, { ParameterB: await iv(16) }), first.key, second.key);
  });

  await dialectCheck('GetAttributeValue in either map, whatever value is sent', async () => {
    const Object_ = need('aes').key;
    const response = await stub.GetAttributeValue({
      Object: Object_,
      Attributes: { [CKA.ENCRYPT]: { AttributeI: '0' }, [CKA.VALUE_LEN]: { AttributeI: '0' }, [CKA.WRAP]: {} },
    });
    const values = client.byNumber(response.Attributes);
    assert.equal(values[CKA.ENCRYPT].AttributeTF, true);
    assert.equal(values[CKA.WRAP].AttributeTF, false);
    assert.equal(values[CKA.VALUE_LEN].AttributeI, '16');
    const raw = client.byNumber(response.AttributesBytes);
    assert.deepEqual(raw[CKA.ENCRYPT], Buffer.from([1]));
    assert.deepEqual(raw[CKA.VALUE_LEN], Buffer.from([0, 0, 0, 0, 0, 0, 0, 16]));
    const byBytes = await stub.GetAttributeValue({ Object: Object_, AttributesBytes: { [CKA.ENCRYPT]: Buffer.alloc(0) } });
    assert.equal(client.byNumber(byBytes.Attributes)[CKA.ENCRYPT].AttributeTF, true);
  });
  await dialectCheck('SetAttributeValue gives a new blob with the change; the old keeps its rights', async () => {
    const { Object: changed } = await stub.SetAttributeValue({
      Object: need('aes').key,
      Attributes: { [CKA.DECRYPT]: { AttributeTF: false } },
    });
    const decrypt = async (blob) =>
      client.byNumber((await stub.GetAttributeValue({ Object: blob, Attributes: { [CKA.DECRYPT]: {} } })).Attributes)[CKA.DECRYPT].AttributeTF;
    assert.equal(await decrypt(changed), false);
    assert.equal(await decrypt(need('aes').key), true);
    const error = await refusal(
      stub.DecryptSingle({
        Mech: mechanism(CKM.AES_CBC_PAD, { ParameterB: Buffer.alloc(16) }),
        Ciphered: Buffer.alloc(16),
        ...dialect.key('Key', changed),
      }),
    );
    assertRefused(error, { status: client.grpc.status.UNKNOWN, name: 'CKR_KEY_FUNCTION_NOT_PERMITTED', code: 0x68 });
  });
  await dialectCheck('a state is a value: what follows may fork, and each branch ends right', async () => {
    const mech = mechanism(CKM.AES_CBC_PAD, { ParameterB: await iv(16) });
    const { State } = await stub.EncryptInit({ Mech: mech, ...dialect.key('Key', need('aes').key) });
    const begun = await stub.EncryptUpdate({ State, Plain: MESSAGE.subarray(0, 20) });
    for (const rest of [MESSAGE.subarray(20), Buffer.from(', or nothing at all')]) {
      const step = await stub.EncryptUpdate({ State: begun.State, Plain: rest });
      const { Ciphered } = await stub.EncryptFinal({ State: step.State });
      const ciphertext = Buffer.concat([begun.Ciphered, step.Ciphered, Ciphered]);
      const plain = await calls.decrypt.ESP(mech, need('aes').key, ciphertext);
      assert.deepEqual(plain, Buffer.concat([MESSAGE.subarray(0, 20), rest]));
    }
  });
  await dialectCheck('a state of another operation, or with one bit flipped, is refused', async () => {
    const mech = mechanism(CKM.AES_CBC_PAD, { ParameterB: await iv(16) });
    const { State } = await stub.EncryptInit({ Mech: mech, ...dialect.key('Key', need('aes').key) });
    assertRefused(await refusal(stub.DecryptUpdate({ State, Ciphered: Buffer.alloc(16) })), {
      name: 'CKR_SAVED_STATE_INVALID',
      code: 0x160,
    });
    const flipped = Buffer.from(State);
    flipped[flipped.length - 1] ^= 1;
    assertRefused(await refusal(stub.EncryptUpdate({ State: flipped, Plain: MESSAGE })), {
      name: 'CKR_IBM_BLOB_ERROR',
      code: 0x80010004,
    });
  });
  await dialectCheck('a blob with one bit flipped is refused with CKR_IBM_BLOB_ERROR', async () => {
    const changed = Buffer.from(need('aes').key);
    changed[changed.length - 1] ^= 1;
    const error = await refusal(
      stub.EncryptSingle({
        Mech: mechanism(CKM.AES_CBC_PAD, { ParameterB: Buffer.alloc(16) }),
        Plain: MESSAGE,
        ...dialect.key('Key', changed),
      }),
    );
    assertRefused(error, { status: client.grpc.status.UNKNOWN, name: 'CKR_IBM_BLOB_ERROR', code: 0x80010004 });
  });
  await dialectCheck('a request without its key is refused with CKR_KEY_HANDLE_INVALID', async () => {
    const error = await refusal(
      stub.EncryptSingle({ Mech: mechanism(CKM.AES_CBC_PAD, { ParameterB: Buffer.alloc(16) }), Plain: MESSAGE }),
    );
    assertRefused(error, { status: client.grpc.status.UNKNOWN, name: 'CKR_KEY_HANDLE_INVALID', code: 0x60 });
  });
  await dialectCheck('a request without its mechanism is refused, not taken for mechanism 0', async () => {
    const error = await refusal(stub.EncryptSingle({ Plain: MESSAGE, ...dialect.key('Key', need('aes').key) }));
    assertRefused(error, { status: client.grpc.status.UNKNOWN, name: 'CKR_MECHANISM_INVALID', code: 0x70 });
  });
}

async function bothForms(stub) {
  await check('both forms of a key, different: refused with CKR_ARGUMENTS_BAD; equal: taken', async () => {
    const key = async () => {
      const response = await stub.GenerateKey({
        Mech: mechanism(CKM.AES_KEY_GEN),
        Template: template({ [CKA.VALUE_LEN]: 16, [CKA.ENCRYPT]: true }),
      });
      return sameInBothForms(response, 'Key');
    };
    const first = await key();
    const request = {
      Mech: mechanism(CKM.AES_CBC_PAD, { ParameterB: Buffer.alloc(16) }),
      Plain: MESSAGE,
      KeyBytes: first,
    };
    await stub.EncryptSingle({ ...request, Key: { KeyBlobs: [first] } });
    const error = await refusal(stub.EncryptSingle({ ...request, Key: { KeyBlobs: [await key()] } }));
    assertRefused(error, { status: client.grpc.status.UNKNOWN, name: 'CKR_ARGUMENTS_BAD', code: 7 });
  });
}

// A field of a later client: protobuf's rule is to ignore it.
async function unknownField(stub) {
  await check('a field that the schema does not know is ignored', async () => {
    const random = client.loadProto().types.Crypto.service.GenerateRandom;
    const { Rnd } = await stub.raw(random.path, Buffer.from('0810' + 'fa0603616263', 'hex'), random.responseDeserialize);
    assert.equal(Rnd.length, 16);
  });
}

async function credentials(setting, token) {
  const attempt = async (value, options) => {
    const stub = client.connect(setting, value, options);
    try {
      return await stub.GenerateRandom({ Len: '1' });
    } finally {
      stub.close();
    }
  };
  await check('the bare token without its scheme is taken', async () => {
    assert.equal((await attempt(token)).Rnd.length, 1);
  });
  await check('the scheme is compared without case', async () => {
    assert.equal((await attempt(`bEARER ${token}`)).Rnd.length, 1);
  });
  await check('no bluemix-instance header is needed where the listener decides', async () => {
    assert.equal((await attempt(`Bearer ${token}`, { withInstance: false })).Rnd.length, 1);
  });
  await check('a token that nobody issued is refused with one detail', async () => {
    const error = await refusal(attempt('Bearer e30.e30.Zm9yZ2Vk'));
    assertRefused(error, { status: client.grpc.status.UNAUTHENTICATED, code: 0x80040001 });
  });
  await check('another instance is refused with one detail', async () => {
    const elsewhere = { ...setting, instance: crypto.randomUUID() };
    const stub = client.connect(elsewhere, `Bearer ${token}`);
    try {
      const error = await refusal(stub.GenerateRandom({ Len: '1' }));
      assertRefused(error, { status: client.grpc.status.PERMISSION_DENIED, code: 0x80040001 });
    } finally {
      stub.close();
    }
  });
}

// Against a server that refuses the first calls, and then answers.
async function repeating() {
  const { grpc } = client;
  const { UNAVAILABLE, RESOURCE_EXHAUSTED, UNKNOWN } = grpc.status;
  const { Crypto } = client.loadProto().types;
  for (const [refusals, expectedCalls, expectedEnd] of [
    [[UNAVAILABLE, RESOURCE_EXHAUSTED], 3, undefined],
    [[UNKNOWN], 1, UNKNOWN],
  ]) {
    await check(`the client repeats what may be repeated: ${refusals.map((code) => grpc.status[code])}`, async () => {
      let calls = 0;
      const server = new grpc.Server();
      server.addService(Crypto.service, {
        GenerateRandom: (call, done) => {
          const code = refusals[calls++];
          done(code && { code, details: 'CKR_DEVICE_ERROR' }, { Rnd: Buffer.alloc(1) });
        },
      });
      const port = await new Promise((resolve, reject) => {
        const plain = grpc.ServerCredentials.createInsecure();
        server.bindAsync('127.0.0.1:0', plain, (error, bound) => (error ? reject(error) : resolve(bound)));
      });
      const options = { 'grpc.service_config': RETRIES };
      const stub = new Crypto(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), options);
      try {
        const end = await new Promise((resolve) => {
          stub.GenerateRandom({ Len: '1' }, { deadline: Date.now() + 30_000 }, (error) => resolve(error?.code));
        });
        assert.deepEqual([calls, end], [expectedCalls, expectedEnd]);
      } finally {
        stub.close();
        server.forceShutdown();
      }
    });
  }
}

// What can be known without a gateway: that the schema loads and the client encodes and decodes as it claims.
async function selfCheck() {
  const { types, definition } = client.loadProto();
  const encode = (type, value) => definition[`grep11.Crypto`][type].requestSerialize(value);
  await check('the schema has 40 rpcs', async () => {
    assert.equal(Object.values(types.Crypto.service).length, 40);
  });
  await check('a request of each dialect has the bytes of the contract', async () => {
    const blob = Buffer.from([0xb1]);
    const mech = mechanism(CKM.ECDSA);
    const [first, second] = DIALECTS.map((dialect) =>
      encode('SignSingle', { Mech: mech, Data: Buffer.from('a'), ...dialect.key('PrivKey', blob) }).toString('hex'),
    );
    assert.equal(first, '0a01b1' + '120308c120' + '1a0161');
    assert.equal(second, '120308c120' + '1a0161' + '2a032a01b1');
  });
  await check('a template has its attributes in the arms of the samples', async () => {
    const request = { Template: template({ [CKA.PUBLIC_EXPONENT]: 17 }) };
    assert.equal(encode('GenerateKey', request).toString('hex'), '3207' + '08a202' + '12021811');
  });
  await check('a status with one detail decodes', async () => {
    const error = Buffer.from('08c001', 'hex');
    const type = Buffer.from('type.googleapis.com/grep11.Grep11Error');
    const any = Buffer.concat([Buffer.from([0x0a, type.length]), type, Buffer.from([0x12, error.length]), error]);
    const status = Buffer.concat([Buffer.from([0x08, 2, 0x1a, any.length]), any]);
    const decoded = client.decodeStatusDetails(status);
    assert.deepEqual(decoded.details, [{ type: type.toString(), code: 192, detail: '', retry: false }]);
  });
  await check('public keys decode strictly, with a trailer behind them', async () => {
    const { publicKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const spki = publicKey.export({ format: 'der', type: 'spki' });
    const blob = Buffer.concat([spki, Buffer.from('trailer')]);
    assert.deepEqual(firstObject(blob), spki);
    assert.deepEqual(ecPublicKey(blob).algorithm.curve, OID.P256);
    const dh = crypto.generateKeyPairSync('dh', { group: 'modp14' }).publicKey.export({ format: 'der', type: 'spki' });
    assert.deepEqual(dhPublicValue(dh).id, OID.DH_KEY_AGREEMENT);
  });
  await check('a key in the form of RFC 8410 does not pass for one of ours', async () => {
    const { publicKey } = crypto.generateKeyPairSync('ed25519');
    assert.throws(() => ecPublicKey(publicKey.export({ format: 'der', type: 'spki' })));
  });
}

async function againstGateway() {
  const setting = client.setting(process.env);
  const token = await tokens(setting);
  if (token === undefined) {
    return;
  }
  await credentials(setting, token);
  const stub = client.connect(setting, `Bearer ${token}`);
  try {
    await withoutKeys(stub);
    await repeating();
    await bothForms(stub);
    await unknownField(stub);
    for (const dialect of DIALECTS) {
      await inDialect(stub, dialect);
    }
    await samples(stub);
  } finally {
    stub.close();
  }
}

async function main() {
  await (process.argv.includes('--self-check') ? selfCheck() : againstGateway());
  console.log(`${counted.passed} passed, ${counted.failed} failed`);
  process.exitCode = counted.failed === 0 && counted.passed > 0 ? 0 : 1;
}

main().catch((error) => {
  console.error(`interop: ${error.message}`);
  process.exitCode = 1;
});
