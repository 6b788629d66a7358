// Which devices a person has, and how each is woken: a table of a provider's own. Knows nothing of push services.
import { DatabaseSync } from 'node:sqlite';

export type PushService = 'apns' | 'fcm' | 'unifiedpush';
export type PushDevice = { readonly service: PushService; readonly address: string };

const maxDevices = 16;
const maxAddressCharacters = 4_096;

export class PushDevices {
  readonly #database: DatabaseSync;

  constructor(file: string) {
    this.#database = new DatabaseSync(file);
    this.#database.exec(`PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS devices (
      id INTEGER PRIMARY KEY, identifier TEXT NOT NULL, service TEXT NOT NULL, address TEXT NOT NULL,
      UNIQUE (service, address)) STRICT; CREATE INDEX IF NOT EXISTS devices_of ON devices (identifier)`);
  }

  /** A device that changed hands is its new owner's; a person's oldest beyond 16 goes. False for an address that is none. */
  add(identifier: string, { service, address }: PushDevice): boolean {
    if (address === '' || address.length > maxAddressCharacters) return false;
    this.#database
      .prepare('INSERT OR REPLACE INTO devices (identifier, service, address) VALUES (?, ?, ?)')
      .run(identifier, service, address);
    this.#database
      .prepare(
        'DELETE FROM devices WHERE id IN (SELECT id FROM devices WHERE identifier = ? ORDER BY id DESC LIMIT -1 OFFSET ?)',
      )
      .run(identifier, maxDevices);
    return true;
  }

  of(identifier: string): PushDevice[] {
    const rows = this.#database.prepare('SELECT service, address FROM devices WHERE identifier = ?').all(identifier);
    return rows.map(row => ({ service: row['service'] as PushService, address: String(row['address']) }));
  }

  remove({ service, address }: PushDevice): void {
    this.#database.prepare('DELETE FROM devices WHERE service = ? AND address = ?').run(service, address);
  }

  close(): void {
    this.#database.close();
  }
}
