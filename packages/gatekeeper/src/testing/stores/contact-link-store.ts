// What each adapter of ContactLinkStore must do: links by which strangers come, their uses and their end. Knows no store.
import assert from 'node:assert/strict';
import { type Contract, enlisted, nowMs } from './contract.ts';

const digestOf = (seed: number): Uint8Array => new Uint8Array(32).fill(seed);

export function testContactLinkStore(contract: Contract): void {
  contract(
    'a link lets in as many as it may, until it expires, is revoked or used up, and goes with its owner',
    async stores => {
      const { links, accounts } = stores;
      const [a, b, c] = [await enlisted(stores, 'a'), await enlisted(stores, 'b'), await enlisted(stores, 'c')];
      const add = (seed: number, uses = 1, expiresAtMs = nowMs + 100, account = a.row) =>
        links.add({ account, digest: digestOf(seed), usesLeft: uses, expiresAtMs, judgeMs: nowMs, max: 3 });
      const redeem = async (seed: number, by: string, atMs = nowMs) => {
        const { interopId, provider, contacts } = (await accounts.find(by))!;
        const party = { interopId, provider, contacts };
        return links.redeem({
          digest: digestOf(seed),
          owner: a.row,
          by: party,
          nowMs: atMs,
          judgeMs: atMs,
          maxContacts: 9,
        });
      };
      const seeds = async (atMs = nowMs) => (await links.list(a.row, atMs)).map(({ digest }) => digest[0]);
      assert.deepEqual([await add(1, 2), await add(2, 1, nowMs + 50), await add(3)], ['added', 'added', 'added']);
      assert.equal(await add(1, 5), 'added', 'the same again changes nothing');
      assert.equal(await add(4), 'full');
      assert.equal(await add(1, 1, nowMs + 100, b.row), 'taken');
      assert.deepEqual(
        (await links.list(a.row, nowMs)).map(({ digest, usesLeft, expiresAtMs }) => [digest[0], usesLeft, expiresAtMs]),
        [
          [2, 1, nowMs + 50],
          [1, 2, nowMs + 100],
          [3, 1, nowMs + 100],
        ],
      );
      assert.equal(await links.ownerOf(digestOf(1), nowMs), a.id);
      assert.deepEqual(
        [await links.ownerOf(digestOf(1), nowMs + 100), await links.ownerOf(digestOf(9), nowMs)],
        [undefined, undefined],
      );
      const { version } = (await accounts.find(a.id))!;
      assert.equal(await redeem(1, b.id), 'accepted');
      assert.equal(await redeem(1, b.id), 'same', 'whoever is accepted takes no use');
      const { key } = (await accounts.find(b.id))!.contacts;
      const owner = (await accounts.find(a.id))!;
      assert.deepEqual(owner.contacts.decided.get(key), { state: 'accepted', isOpen: true, interopId: b.id });
      assert(owner.version > version);
      const about = (await accounts.find(c.id))!;
      await stores.contacts.decide({ account: a.row, about, decision: 'block', isOpen: false, maxContacts: 9, nowMs });
      assert.equal(await redeem(1, c.id), 'same', 'a block holds, and takes a use as anybody does');
      assert.equal((await accounts.find(a.id))!.contacts.decided.get(about.contacts.key)?.state, 'blocked');
      assert.equal(await redeem(1, c.id), 'gone', 'used up');
      assert.equal(await redeem(2, b.id, nowMs + 50), 'gone', 'expired');
      await links.remove(b.row, digestOf(3));
      assert.deepEqual(await seeds(), [2, 3], "nobody revokes another's");
      await links.remove(a.row, digestOf(3));
      assert.equal(await redeem(3, b.id), 'gone', 'revoked');
      assert.equal(await add(5, 1, nowMs + 60), 'added', 'what is over makes room');
      assert.equal(await links.sweep(nowMs + 50, 10), 1);
      assert.deepEqual(await seeds(), [5]);
      await accounts.withdraw(a.row);
      assert.equal(await links.ownerOf(digestOf(5), nowMs), undefined);
      assert.equal(await links.sweep(nowMs + 1_000, 10), 0);
    },
  );

  contract('who is met by links alone, and what a stranger reads of somebody', async stores => {
    const { links, accounts } = stores;
    const [a, b, c] = [await enlisted(stores, 'a'), await enlisted(stores, 'b'), await enlisted(stores, 'c')];
    const { version, linkOnly } = (await accounts.find(a.id))!;
    assert.equal(linkOnly, false);
    assert.equal(await links.setLinkOnly(a.row, true), true);
    const now = (await accounts.find(a.id))!;
    assert.equal(now.linkOnly, true);
    assert(now.version > version);
    await links.setLinkOnly(a.row, true);
    assert.equal((await accounts.find(a.id))!.version, now.version, 'no news');
    assert.equal(await links.setLinkOnly(999_999, true), false);
    const decider = { account: a.row, isOpen: true, maxContacts: 9, nowMs } as const;
    for (const { id } of [b, c]) {
      await stores.contacts.decide({ ...decider, about: (await accounts.find(id))!, decision: 'accept' });
    }
    const { key } = (await accounts.find(b.id))!.contacts;
    for (const seen of [await accounts.find(a.id, b.row, key), await accounts.findByIdentifier(1, 'a', b.row, key)]) {
      assert.deepEqual([...seen!.contacts.decided.keys()], [key], 'of decisions the one about the asker alone');
      assert.equal(seen!.linkOnly, true);
    }
    assert.equal((await accounts.find(a.id))!.contacts.decided.size, 2);
  });
}
