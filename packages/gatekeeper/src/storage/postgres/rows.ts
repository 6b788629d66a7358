// How accounts and devices are numbered: a device's row says whose it is, so that everything of a person begins with the
// account in every key. Knows no tables.

/** Devices that a person may have had, one after the other. */
export const maxDevicesMade = 2 ** 20 - 1;
const devicesPerAccount = maxDevicesMade + 1;

/** `made` counts a person's devices from 1, and is never used again. */
export function deviceRow(account: number, made: number): number {
  return account * devicesPerAccount + made;
}

export function accountOf(device: number): number {
  return Math.floor(device / devicesPerAccount);
}

/** Suspended by an operator, or disabled by its provider. */
export const statusColumn = "CASE WHEN disabled THEN 'suspended' ELSE status END AS status";
