import type { Command } from 'commander';
export function registerGatekeeper(_program: Command): void {}
