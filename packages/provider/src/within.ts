// A time limit for the hooks of whoever embeds the kit. Knows nothing of what they do.

export class HookTooSlow extends Error {}

/** Rejects with a HookTooSlow when the work takes longer; the work itself goes on. */
export async function within(ms: number, work: () => Promise<void>): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new HookTooSlow('the hook took too long')), ms);
  try {
    await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}
