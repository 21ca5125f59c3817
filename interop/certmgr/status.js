'use strict';
// One call with exactly the token in GREP11_TOKEN and the certificate in GREP11_CLIENT_CERT and _KEY; prints its gRPC status.
// With the argument "token": prints a token for GREP11_APIKEY.

const fs = require('node:fs');
const http2 = require('node:http2');
const https = require('node:https');

const environment = process.env;
const ca = fs.readFileSync(environment.GREP11_CA);

function printToken() {
  const form = new URLSearchParams({
    grant_type: 'urn:ibm:params:oauth:grant-type:apikey',
    apikey: environment.GREP11_APIKEY,
  });
  const call = https.request(
    new URL('/identity/token', environment.GREP11_IAMENDPOINT),
    { method: 'POST', ca, headers: { 'Content-Type': 'application/x-www-form-urlencoded' } },
    (response) => {
      let text = '';
      response.on('data', (chunk) => (text += chunk));
      response.on('end', () => console.log(JSON.parse(text).access_token));
    },
  );
  call.end(form.toString());
}

function printStatus() {
  const session = http2.connect(`https://${environment.GREP11_ADDRESS}`, {
    ca,
    cert: fs.readFileSync(environment.GREP11_CLIENT_CERT),
    key: fs.readFileSync(environment.GREP11_CLIENT_KEY),
  });
  const headers = {
    ':method': 'POST',
    ':path': '/grep11.Crypto/GetMechanismList',
    'content-type': 'application/grpc',
    te: 'trailers',
    'bluemix-instance': environment.GREP11_INSTANCE,
  };
  if (environment.GREP11_TOKEN) {
    headers.authorization = `Bearer ${environment.GREP11_TOKEN}`;
  }
  const call = session.request(headers);
  const tell = (received) => {
    if ('grpc-status' in received) {
      console.log(received['grpc-status']);
    }
  };
  call.on('response', tell);
  call.on('trailers', tell);
  call.on('close', () => session.close());
  call.resume();
  // An empty message: not compressed, no bytes.
  call.end(Buffer.alloc(5));
}

if (process.argv[2] === 'token') {
  printToken();
} else {
  printStatus();
}
