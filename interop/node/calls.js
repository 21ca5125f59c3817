'use strict';
// The rpcs as the samples call them, in one dialect: templates of plain values, and the three flows ESP (one ...Single
// call), PSP (Init and one part) and PMP (Init, Updates, Final).

const assert = require('node:assert/strict');
const client = require('./client');
const { template } = require('./shapes');

// How a dialect puts a key into a request and takes one out of a response. In all of them the other form of the
// response must hold the same bytes.
const BYTES = {
  name: 'bytes',
  key: (field, blob) => ({ [`${field}Bytes`]: blob, [`${field}Id`]: 'unknown to the schema' }),
  taken: sameInBothForms,
  blob: (key) => key,
};
const KEY_BLOB = {
  name: 'KeyBlob',
  key: (field, blob) => ({ [field]: { KeyBlobs: [blob] } }),
  taken: sameInBothForms,
  blob: (key) => key,
};
// As the Go samples have it: the message goes back exactly as it came.
const KEY_BLOB_AS_RECEIVED = {
  name: 'KeyBlob as received',
  key: (field, key) => ({ [field]: key }),
  taken: (response, field) => {
    sameInBothForms(response, field);
    return { ...response[field], Attributes: client.byNumber(response[field].Attributes) };
  },
  blob: (key) => key.KeyBlobs[0],
};

function sameInBothForms(response, field) {
  const bytes = response[`${field}Bytes`];
  assert.ok(bytes.length > 0, `${field}Bytes is empty`);
  assert.ok(response[field], `${field} is absent`);
  assert.equal(response[field].KeyBlobs.length, 1, `${field}.KeyBlobs`);
  assert.deepEqual(response[field].KeyBlobs[0], bytes, `${field} differs between the dialects`);
  assert.ok(bytes.length <= 9216, `${field} has ${bytes.length} bytes`);
  return bytes;
}

// Numbers as decimal strings, as the samples send them.
function mechanism(number, parameter) {
  return { Mechanism: String(number), ...parameter };
}

// The pieces of data, cut where the sample cuts.
function pieces(data, cut) {
  return [data.subarray(0, cut), data.subarray(cut)];
}

function callsOf(stub, dialect) {
  const random = async (length) => (await stub.GenerateRandom({ Len: String(length) })).Rnd;

  const generateKey = async (mech, values) => {
    const response = await stub.GenerateKey({ Mech: mech, Template: template(values), KeyId: 'ignored' });
    return { key: dialect.taken(response, 'Key'), checkSum: response.CheckSum };
  };
  const generateKeyPair = async (mech, publicValues, privateValues) => {
    const response = await stub.GenerateKeyPair({
      Mech: mech,
      PubKeyTemplate: template(publicValues),
      PrivKeyTemplate: template(privateValues),
      PubKeyId: 'ignored',
      PrivKeyId: 'ignored',
    });
    return { publicKey: dialect.taken(response, 'PubKey'), privateKey: dialect.taken(response, 'PrivKey') };
  };
  const wrap = async (mech, kek, key) =>
    (await stub.WrapKey({ Mech: mech, ...dialect.key('KeK', kek), ...dialect.key('Key', key) })).Wrapped;
  const unwrap = async (mech, kek, wrapped, values) => {
    const response = await stub.UnwrapKey({
      Mech: mech,
      Wrapped: wrapped,
      Template: template(values),
      ...dialect.key('KeK', kek),
    });
    return { key: dialect.taken(response, 'Unwrapped'), checkSum: response.CheckSum };
  };
  const derive = async (mech, base, values) => {
    const response = await stub.DeriveKey({ Mech: mech, Template: template(values), ...dialect.key('BaseKey', base) });
    return { key: dialect.taken(response, 'NewKey'), checkSum: response.CheckSum };
  };

  const cipher = (operation, input, output) => ({
    ESP: async (mech, key, data) =>
      (await stub[`${operation}Single`]({ Mech: mech, [input]: data, ...dialect.key('Key', key) }))[output],
    PSP: async (mech, key, data) => {
      const { State } = await stub[`${operation}Init`]({ Mech: mech, ...dialect.key('Key', key) });
      return (await stub[operation]({ State, [input]: data }))[output];
    },
    // The output of every step, one by one.
    PMP: async (mech, key, parts) => {
      let { State } = await stub[`${operation}Init`]({ Mech: mech, ...dialect.key('Key', key) });
      const outputs = [];
      for (const part of parts) {
        const step = await stub[`${operation}Update`]({ State, [input]: part });
        outputs.push(step[output]);
        State = step.State;
      }
      outputs.push((await stub[`${operation}Final`]({ State }))[output]);
      return outputs;
    },
  });

  const absorbed = async (operation, { State }, parts) => {
    for (const Data of parts) {
      ({ State } = await stub[`${operation}Update`]({ State, Data }));
    }
    return State;
  };
  const sign = {
    ESP: async (mech, key, data) =>
      (await stub.SignSingle({ Mech: mech, Data: data, ...dialect.key('PrivKey', key) })).Signature,
    PSP: async (mech, key, data) => {
      const { State } = await stub.SignInit({ Mech: mech, ...dialect.key('PrivKey', key) });
      return (await stub.Sign({ State, Data: data })).Signature;
    },
    PMP: async (mech, key, data, cut) => {
      const begun = await stub.SignInit({ Mech: mech, ...dialect.key('PrivKey', key) });
      return (await stub.SignFinal({ State: await absorbed('Sign', begun, pieces(data, cut)) })).Signature;
    },
  };
  const verify = {
    ESP: (mech, key, data, Signature) =>
      stub.VerifySingle({ Mech: mech, Data: data, Signature, ...dialect.key('PubKey', key) }),
    PSP: async (mech, key, data, Signature) => {
      const { State } = await stub.VerifyInit({ Mech: mech, ...dialect.key('PubKey', key) });
      return stub.Verify({ State, Data: data, Signature });
    },
    PMP: async (mech, key, data, Signature, cut) => {
      const begun = await stub.VerifyInit({ Mech: mech, ...dialect.key('PubKey', key) });
      return stub.VerifyFinal({ State: await absorbed('Verify', begun, pieces(data, cut)), Signature });
    },
  };
  const digest = {
    ESP: async (mech, data) => (await stub.DigestSingle({ Mech: mech, Data: data })).Digest,
    PSP: async (mech, data) => {
      const { State } = await stub.DigestInit({ Mech: mech });
      return (await stub.Digest({ State, Data: data })).Digest;
    },
    PMP: async (mech, data, cut) => {
      const begun = await stub.DigestInit({ Mech: mech });
      return (await stub.DigestFinal({ State: await absorbed('Digest', begun, pieces(data, cut)) })).Digest;
    },
  };

  return {
    decrypt: cipher('Decrypt', 'Ciphered', 'Plain'),
    derive,
    digest,
    encrypt: cipher('Encrypt', 'Plain', 'Ciphered'),
    generateKey,
    generateKeyPair,
    random,
    sign,
    unwrap,
    verify,
    wrap,
  };
}

module.exports = { BYTES, KEY_BLOB, KEY_BLOB_AS_RECEIVED, callsOf, mechanism, pieces, sameInBothForms };
