import { test } from 'node:test';
import { fuzzXml } from './testing/xml-fuzz.ts';

test('the laws of the XML codec hold for 6,000 damaged documents', () => {
  for (let seed = 1; seed <= 3; seed++) fuzzXml(seed, 2000);
});
