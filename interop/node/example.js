'use strict';
// The smallest complete GREP11 client in Node: docs/clients.md quotes it, and the test run runs it.

const crypto = require('node:crypto');
const fs = require('node:fs');
const https = require('node:https');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const { GREP11_ADDRESS, GREP11_APIKEY, GREP11_CA, GREP11_IAMENDPOINT, GREP11_INSTANCE } = process.env;
// Where a client certificate is needed: its key and chain, PEM.
const { GREP11_CLIENT_KEY, GREP11_CLIENT_CERT } = process.env;
const PROTO_DIR = path.join(__dirname, '..', '..', 'proto', 'src', 'main', 'protobuf');
const CKM = { EC_KEY_PAIR_GEN: 0x1040, ECDSA: 0x1041 };
const CKA = { SIGN: 0x108, VERIFY: 0x10a, EC_PARAMS: 0x180 };
const P256 = Buffer.from('06082a8648ce3d030107', 'hex'); // the curve's OID in DER

// Repeating does no harm, as the gateway keeps nothing of a call; the pauses grow.
const RETRIES = JSON.stringify({
  methodConfig: [
    {
      name: [{ service: 'grep11.Crypto' }],
      retryPolicy: {
        maxAttempts: 5,
        initialBackoff: '0.1s',
        maxBackoff: '2s',
        backoffMultiplier: 2,
        retryableStatusCodes: ['UNAVAILABLE', 'RESOURCE_EXHAUSTED'],
      },
    },
  ],
});

// { access_token, expires_in, ... }
function fetchToken() {
  const form = new URLSearchParams({ grant_type: 'urn:ibm:params:oauth:grant-type:apikey', apikey: GREP11_APIKEY });
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const call = https.request(
      new URL('/identity/token', GREP11_IAMENDPOINT),
      { method: 'POST', ca: fs.readFileSync(GREP11_CA), headers, timeout: 10_000 },
      (response) => {
        let text = '';
        response.on('data', (chunk) => (text += chunk));
        response.on('end', () =>
          response.statusCode === 200 ? resolve(JSON.parse(text)) : reject(new Error(`token refused: ${text}`)),
        );
      },
    );
    call.on('timeout', () => call.destroy(new Error('the token service did not answer')));
    call.on('error', reject);
    call.end(form.toString());
  });
}

// Puts the access token into each call, and fetches the next one before it expires.
function bearer() {
  let token;
  let refreshAt = 0;
  return grpc.credentials.createFromMetadataGenerator((unused, done) => {
    if (Date.now() > refreshAt) {
      token = fetchToken();
      refreshAt = Infinity;
      token.then(
        ({ expires_in: seconds }) => (refreshAt = Date.now() + seconds * 750),
        () => (refreshAt = 0),
      );
    }
    token.then(({ access_token: text }) => {
      const metadata = new grpc.Metadata();
      metadata.set('authorization', `Bearer ${text}`);
      if (GREP11_INSTANCE) {
        metadata.set('bluemix-instance', GREP11_INSTANCE);
      }
      done(null, metadata);
    }, done);
  });
}

async function main() {
  const definition = protoLoader.loadSync(['grep11/crypto.proto', 'grep11/errors.proto'], {
    keepCase: true,
    longs: String,
    includeDirs: [PROTO_DIR],
  });
  const { grep11 } = grpc.loadPackageDefinition(definition);
  const read = (file) => (file ? fs.readFileSync(file) : null);
  const trust = grpc.credentials.createSsl(read(GREP11_CA), read(GREP11_CLIENT_KEY), read(GREP11_CLIENT_CERT));
  const channel = grpc.credentials.combineChannelCredentials(trust, bearer());
  const stub = new grep11.Crypto(GREP11_ADDRESS, channel, { 'grpc.service_config': RETRIES });
  const call = (rpc, request) =>
    new Promise((resolve, reject) => {
      stub[rpc](request, { deadline: Date.now() + 30_000 }, (error, response) => (error ? reject(error) : resolve(response)));
    });
  try {
    const pair = await call('GenerateKeyPair', {
      Mech: { Mechanism: CKM.EC_KEY_PAIR_GEN },
      PubKeyTemplate: { [CKA.EC_PARAMS]: { AttributeB: P256 }, [CKA.VERIFY]: { AttributeTF: true } },
      PrivKeyTemplate: { [CKA.SIGN]: { AttributeTF: true } },
    });
    // Keep pair.PrivKeyBytes: the gateway does not.
    const Data = crypto.createHash('sha256').update('pay 10 to Alice').digest();
    const Mech = { Mechanism: CKM.ECDSA };
    const { Signature } = await call('SignSingle', { Mech, Data, PrivKeyBytes: pair.PrivKeyBytes });
    Signature[0] ^= 1;
    const refusal = await call('VerifySingle', { Mech, Data, Signature, PubKeyBytes: pair.PubKeyBytes }).catch((error) => error);
    console.log(`${Signature.length} bytes; once changed: ${refusal.details}`);
  } finally {
    stub.close();
  }
}

if (require.main === module) {
  main().catch((error) => {
    console.error(error.message);
    process.exitCode = 1;
  });
}

module.exports = { RETRIES };
