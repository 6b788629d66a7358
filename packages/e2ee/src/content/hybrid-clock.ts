// Hybrid logical stamps: the order of what a person says does not hang on a clock that was set back, and a peer whose clock
// is ahead moves ours by little. Pure: time and the last stamp are arguments.
// Knows nothing of where the last stamp is kept.
// Source: docs/protocol/09-content.md section 9.11; Kulkarni et al., Logical Physical Clocks (2014), section 4.

import { MAX_TIME_MS } from './checks.ts';

/** How far ahead of this device's clock a stamp of somebody else may move its stamps. */
export const MAX_STAMP_AHEAD_MS = 300_000;

/**
 * The stamp of what is said now. `lastMs` is the last one given or heard here. A clock at the end of time, even once, leaves
 * room for what is said afterwards; at the latest time of all stamps are equal, so that nothing becomes unsayable.
 */
export function nextStamp(nowMs: number, lastMs: number): number {
  return Math.min(MAX_TIME_MS, Math.max(Math.min(nowMs, MAX_OWN_STAMP_MS), lastMs + 1));
}

/** The last stamp after another device's was heard: never lower, and never far ahead of `nowMs` because of others. */
export function heardStamp(nowMs: number, lastMs: number, theirsMs: number): number {
  return Math.max(lastMs, Math.min(theirsMs, nowMs + MAX_STAMP_AHEAD_MS));
}

/** What one's own devices may move the last stamp to: beneath the latest time of all by 35 years of milliseconds. */
export const MAX_OWN_STAMP_MS: number = MAX_TIME_MS - 2 ** 40;

/**
 * The last stamp after one of one's own other devices was heard. Their stamps order what this person's devices change
 * together (settings, edits, the profile), so that they count however far their clock was ahead.
 */
export function heardOwnStamp(lastMs: number, theirsMs: number): number {
  return Math.max(lastMs, Math.min(theirsMs, MAX_OWN_STAMP_MS));
}

/** What others may say that a stamp of this person is: 35 years of milliseconds beneath what their own devices may. */
export const MAX_TOLD_STAMP_MS: number = MAX_OWN_STAMP_MS - 2 ** 40;

/** The last stamp after somebody else said that there is this one of this person's. */
export function toldStamp(lastMs: number, toldMs: number): number {
  return Math.max(lastMs, Math.min(toldMs, MAX_TOLD_STAMP_MS));
}
