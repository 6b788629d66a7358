// Holds the answers of a running interface against the OpenAPI that it serves: for tests. Knows no interface.
import assert from 'node:assert/strict';
import { Check } from 'typebox/schema';

type Json = Readonly<Record<string, unknown>>;

export type OpenApiCheck = {
  /** The path of the document that a request goes to, and the schema of this answer: asserts that the body fits it. */
  readonly answer: (method: string, path: string, status: number, body: unknown) => void;
  /** Operations that gave no good answer yet, as `get /path`. */
  readonly unseen: () => readonly string[];
};

export function createOpenApiCheck(document: Json): OpenApiCheck {
  const paths = memberOf(document, 'paths');
  const operations = Object.keys(paths).flatMap(path =>
    Object.keys(memberOf(paths, path)).map(method => ({ method, path, pattern: patternOf(path) })),
  );
  const seen = new Set<string>();
  return {
    answer(method, path, status, body) {
      const [plain = ''] = path.split('?', 1);
      const found = operations.find(each => each.method === method.toLowerCase() && each.pattern.test(plain));
      assert(found !== undefined, `${method} ${plain} is in no path`);
      const responses = memberOf(memberOf(memberOf(paths, found.path), found.method), 'responses');
      const word = String(status) in responses ? String(status) : `${Math.floor(status / 100)}XX`;
      const response = memberOf(responses, word);
      if (status < 400) seen.add(`${found.method} ${found.path}`);
      if (!('content' in response)) {
        assert.equal(body, undefined, `${method} ${plain} ${status} has a body that is not described`);
        return;
      }
      const [content] = Object.values(memberOf(response, 'content'));
      const schema = memberOf(content as Json, 'schema');
      assert(Check(schema as never, body), `${method} ${plain} ${status}: ${JSON.stringify(body)} is not as described`);
    },
    unseen: () => operations.map(({ method, path }) => `${method} ${path}`).filter(name => !seen.has(name)),
  };
}

function memberOf(value: Json, name: string): Json {
  const member = value[name];
  assert(typeof member === 'object' && member !== null, `${name} is missing in ${Object.keys(value).join(' ')}`);
  return member as Json;
}

/** `{name}` stands for one segment; the literal path is listed before it by whoever asks first. */
function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replaceAll(/[.]/g, '\\.').replaceAll(/\{[^}]+\}/g, '[^/]+')}$`);
}
