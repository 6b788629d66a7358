// Several sources of one kind as one, which take turns when several have something.
// Knows nothing of what they give.

export type Named<T> = { readonly account: string; readonly value: T };

type Answer<T> = { readonly account: string } & (
  | { readonly kind: 'given'; readonly result: IteratorResult<T, unknown> }
  | { readonly kind: 'failed'; readonly error: unknown }
);

/**
 * What they give, each with its name. The next value of a source is asked for when the one before has been taken; one that
 * gives much hides no other. Ends when all have ended, and with the error of the first that fails.
 */
export async function* inTurn<T>(sources: ReadonlyMap<string, AsyncIterator<T, unknown>>): AsyncGenerator<Named<T>> {
  const answers: Answer<T>[] = [];
  let wake = (): void => {};
  const answered = (answer: Answer<T>): void => {
    answers.push(answer);
    wake();
  };
  const ask = (account: string): void => {
    sources
      .get(account)!
      .next()
      .then(
        result => answered({ account, kind: 'given', result }),
        (error: unknown) => answered({ account, kind: 'failed', error }),
      );
  };
  for (const account of sources.keys()) ask(account);
  for (let left = sources.size; left > 0; ) {
    const answer = answers.shift();
    if (answer === undefined) {
      // A promise for each wait: one that stays open with a quiet source would collect those who waited for it.
      await new Promise<void>(resolve => (wake = resolve));
    } else if (answer.kind === 'failed') {
      throw answer.error;
    } else if (answer.result.done === true) {
      left -= 1;
    } else {
      yield { account: answer.account, value: answer.result.value };
      ask(answer.account);
    }
  }
}
