// OAUTHBEARER messages: RFC 7628's example, both GS2 headers, and what must be refused.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { encodeOauthBearer, maxOauthBearerBytes, parseOauthBearer } from './oauthbearer.ts';

test('the example of RFC 7628 section 4.1 is read, its other keys ignored', () => {
  const example =
    'bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB';
  assert.deepEqual(parseOauthBearer(Buffer.from(example, 'base64')), {
    token: 'vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==',
    authorizationId: 'user@example.com',
  });
});

test('what is written is read again, with and without an authorisation id', () => {
  const token = fc.stringMatching(/^[A-Za-z0-9\-._~+/]{1,200}={0,2}$/);
  const name = fc.option(
    fc
      .string({ minLength: 1, maxLength: 60, unit: 'grapheme' })
      .filter(s => !s.includes('\u0000') && !s.includes('\u0001')),
    { nil: undefined },
  );
  fc.assert(
    fc.property(token, name, (token, authorizationId) => {
      const value = authorizationId === undefined ? { token } : { token, authorizationId };
      assert.deepEqual(parseOauthBearer(encodeOauthBearer(value)), value);
    }),
  );
});

const refused: Record<string, string> = {
  empty: '',
  'no header': '\u0001auth=Bearer t\u0001\u0001',
  'header cut': 'n,\u0001auth=Bearer t\u0001\u0001',
  'channel binding asked': 'p=tls-exporter,,\u0001auth=Bearer t\u0001\u0001',
  'channel binding said to be unsupported': 'y,,\u0001auth=Bearer t\u0001\u0001',
  'empty authorisation id': 'n,a=,\u0001auth=Bearer t\u0001\u0001',
  'authorisation id with a bare equals sign': 'n,a=x=y,\u0001auth=Bearer t\u0001\u0001',
  'authorisation id with a comma': 'n,a=x,y,\u0001auth=Bearer t\u0001\u0001',
  'lower-case escape': 'n,a=x=2cy,\u0001auth=Bearer t\u0001\u0001',
  'no auth': 'n,,\u0001host=x\u0001\u0001',
  'auth twice': 'n,,\u0001auth=Bearer t\u0001auth=Bearer u\u0001\u0001',
  'another scheme': 'n,,\u0001auth=Basic t\u0001\u0001',
  'no token': 'n,,\u0001auth=Bearer \u0001\u0001',
  'token with a space': 'n,,\u0001auth=Bearer t u\u0001\u0001',
  'key with a digit': 'n,,\u0001k1=x\u0001auth=Bearer t\u0001\u0001',
  'value outside ASCII': 'n,,\u0001host=é\u0001auth=Bearer t\u0001\u0001',
  'one separator at the end': 'n,,\u0001auth=Bearer t\u0001',
  'something after the end': 'n,,\u0001auth=Bearer t\u0001\u0001x',
  'empty pair': 'n,,\u0001\u0001auth=Bearer t\u0001\u0001',
  'too long': `n,,\u0001auth=Bearer ${'t'.repeat(maxOauthBearerBytes)}\u0001\u0001`,
};
for (const [name, message] of Object.entries(refused)) {
  test(`refused: ${name}`, () => {
    assert.equal(parseOauthBearer(message), undefined);
    assert.equal(parseOauthBearer(Buffer.from(message)), undefined);
  });
}

test('invalid UTF-8 is refused', () => {
  const bytes = Buffer.from('n,a=x,\u0001auth=Bearer t\u0001\u0001');
  bytes[4] = 0xff;
  assert.equal(parseOauthBearer(bytes), undefined);
});

test('any bytes give a value or undefined', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), bytes => {
      const value = parseOauthBearer(bytes);
      assert.ok(value === undefined || value.token.length > 0);
    }),
  );
});
