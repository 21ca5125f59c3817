'use strict';
// How a check is counted, and what a refusal must look like.

const assert = require('node:assert/strict');
const client = require('./client');

const counted = { passed: 0, failed: 0 };

async function check(name, body) {
  const begin = process.hrtime.bigint();
  try {
    await body();
    counted.passed++;
    console.log(`ok    ${name} (${(Number(process.hrtime.bigint() - begin) / 1e6).toFixed(1)} ms)`);
  } catch (error) {
    counted.failed++;
    console.log(`FAIL  ${name}: ${String(error.message).split('\n').slice(0, 3).join(' ')}`);
  }
}

async function refusal(call) {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: 'was not refused' });
}

// One detail, of the right type, the status repeated in it. The Go helper reports anything else as a general error.
function assertRefused(error, { status = client.grpc.status.UNKNOWN, name, code }) {
  assert.equal(error.code, status, `status ${error.code}: ${error.details}`);
  if (name !== undefined) {
    assert.equal(error.details, name);
  }
  const trailers = error.metadata.get('grpc-status-details-bin');
  assert.equal(trailers.length, 1, 'grpc-status-details-bin');
  const decoded = client.decodeStatusDetails(trailers[0]);
  assert.equal(decoded.code, error.code, 'the code inside the details');
  assert.equal(decoded.message, error.details, 'the message inside the details');
  assert.equal(decoded.details.length, 1, 'number of details');
  assert.equal(decoded.details[0].type, 'type.googleapis.com/grep11.Grep11Error');
  assert.equal(decoded.details[0].code, code);
  return decoded.details[0];
}

const SIGNATURE_INVALID = { name: 'CKR_SIGNATURE_INVALID', code: 192 };
const MECHANISM_INVALID = { name: 'CKR_MECHANISM_INVALID', code: 0x70 };

module.exports = { MECHANISM_INVALID, SIGNATURE_INVALID, assertRefused, check, counted, refusal };
