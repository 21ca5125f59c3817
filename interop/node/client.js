'use strict';
// Connection, token and error decoding, the way the public samples do them.

const fs = require('node:fs');
const https = require('node:https');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const PROTO_DIR = path.join(__dirname, '..', '..', 'proto', 'src', 'main', 'protobuf');
const GRANT = 'urn:ibm:params:oauth:grant-type:apikey';
const DEADLINE_MS = 60_000;

function loadProto() {
  // keepCase and longs as strings: what the samples set. Their numbers above 2^53 survive only so.
  const definition = protoLoader.loadSync(
    [path.join('grep11', 'crypto.proto'), path.join('grep11', 'errors.proto')],
    { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true, includeDirs: [PROTO_DIR] },
  );
  return { definition, types: grpc.loadPackageDefinition(definition).grep11 };
}

// protobufjs files a decoded 64-bit map key under its eight bytes, one character each.
function byNumber(map) {
  return Object.fromEntries(
    Object.entries(map).map(([key, value]) => [Buffer.from(key, 'latin1').readBigUInt64LE().toString(), value]),
  );
}

function setting(environment) {
  const names = ['GREP11_ADDRESS', 'GREP11_APIKEY', 'GREP11_IAMENDPOINT', 'GREP11_CA'];
  const missing = names.filter((name) => !environment[name]);
  if (missing.length > 0) {
    throw new Error(`not set: ${missing.join(', ')} (source the env file of ./grep11 up)`);
  }
  return {
    address: environment.GREP11_ADDRESS,
    apiKey: environment.GREP11_APIKEY,
    iamEndpoint: environment.GREP11_IAMENDPOINT,
    ca: fs.readFileSync(environment.GREP11_CA),
    instance: environment.GREP11_INSTANCE,
  };
}

// Go style: parameters in the form body, nothing escaped.
function tokenRequestInBody(apiKey) {
  return { path: '/identity/token', body: `grant_type=${GRANT}&apikey=${apiKey}` };
}

// JavaScript style: the same in the query string, the body empty.
function tokenRequestInQuery(apiKey) {
  const query = new URLSearchParams({ grant_type: GRANT, apikey: apiKey });
  return { path: `/identity/token?${query}`, body: '' };
}

function fetchToken({ iamEndpoint, ca }, request) {
  const target = new URL(request.path, iamEndpoint);
  return new Promise((resolve, reject) => {
    const call = https.request(
      target,
      {
        method: 'POST',
        ca,
        agent: false,
        timeout: 10_000,
        headers: {
          'Content-Type': 'application/x-www-form-urlencoded',
          Accept: 'application/json',
          'Content-Length': Buffer.byteLength(request.body),
        },
      },
      (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('end', () => {
          try {
            resolve({ status: response.statusCode, json: JSON.parse(Buffer.concat(chunks).toString('utf8')) });
          } catch {
            reject(new Error(`token service answered HTTP ${response.statusCode} without JSON`));
          }
        });
      },
    );
    call.on('timeout', () => call.destroy(new Error('token service did not answer')));
    call.on('error', reject);
    call.end(request.body);
  });
}

// The token is fetched by the caller and rides as a call credential,
// which grpc-js attaches to a TLS channel only.
function connect({ address, ca, instance }, token, { withInstance = true } = {}) {
  const perCall = grpc.credentials.createFromMetadataGenerator((unused, done) => {
    const metadata = new grpc.Metadata();
    metadata.add('authorization', token);
    if (withInstance && instance) {
      metadata.add('bluemix-instance', instance);
    }
    done(null, metadata);
  });
  const credentials = grpc.credentials.combineChannelCredentials(grpc.credentials.createSsl(ca), perCall);
  return promising(new (loadProto().types.Crypto)(address, credentials), DEADLINE_MS);
}

// The stub with methods that answer promises and have a deadline.
function promising(stub, deadlineMs) {
  return new Proxy(stub, {
    get(target, name) {
      if (name === 'close') {
        return () => target.close();
      }
      if (name === 'within') {
        return (milliseconds) => promising(target, milliseconds);
      }
      const promised = (call) =>
        new Promise((resolve, reject) => {
          call({ deadline: Date.now() + deadlineMs }, (error, response) => (error ? reject(error) : resolve(response)));
        });
      if (name === 'raw') {
        return (path, bytes, deserialize) =>
          promised((options, done) =>
            target.makeUnaryRequest(path, (unchanged) => unchanged, deserialize, bytes, options, done),
          );
      }
      return (request) => promised((options, done) => target[name](request, options, done));
    },
  });
}

// The trailer grpc-status-details-bin, read by hand: google.rpc.Status {code=1, message=2, details=3 Any},
// Any {type_url=1, value=2}, Grep11Error {Code=1, Detail=2, Retry=3}.
function decodeStatusDetails(bytes) {
  const status = decodeMessage(bytes);
  return {
    code: Number(status[1]?.[0] ?? 0n),
    message: (status[2]?.[0] ?? Buffer.alloc(0)).toString('utf8'),
    details: (status[3] ?? []).map((any) => {
      const fields = decodeMessage(any);
      const error = decodeMessage(fields[2]?.[0] ?? Buffer.alloc(0));
      return {
        type: (fields[1]?.[0] ?? Buffer.alloc(0)).toString('utf8'),
        code: Number(error[1]?.[0] ?? 0n),
        detail: (error[2]?.[0] ?? Buffer.alloc(0)).toString('utf8'),
        retry: (error[3]?.[0] ?? 0n) !== 0n,
      };
    }),
  };
}

// Field number → values; varints as BigInt, length-delimited fields as Buffer.
function decodeMessage(bytes) {
  const fields = {};
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      if (at >= bytes.length || shift > 63n) {
        throw new Error('malformed protobuf');
      }
      const byte = bytes[at++];
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) {
        return value;
      }
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const number = Number(tag >> 3n);
    const wireType = Number(tag & 7n);
    let value;
    if (wireType === 0) {
      value = varint();
    } else if (wireType === 2) {
      const length = Number(varint());
      if (at + length > bytes.length) {
        throw new Error('malformed protobuf');
      }
      value = bytes.subarray(at, at + length);
      at += length;
    } else {
      throw new Error(`wire type ${wireType}`);
    }
    (fields[number] ??= []).push(value);
  }
  return fields;
}

module.exports = {
  byNumber,
  connect,
  decodeStatusDetails,
  fetchToken,
  grpc,
  loadProto,
  setting,
  tokenRequestInBody,
  tokenRequestInQuery,
};
