import type { Command } from 'commander';
export function registerProvider(_program: Command): void {}
