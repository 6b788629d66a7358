// All storage ports on one embedded store. Knows no rules: each call is one named command.
import type { ClockStore } from '../../clock/clock-store.ts';
import type { ContactLinkStore } from '../../consent/contact-link-store.ts';
import type { ContactStore } from '../../consent/contact-store.ts';
import type { RestrictionStore } from '../../integrity/restriction-store.ts';
import type { ReportStore } from '../../reports/report-store.ts';
import type { ProofIds } from '../../enlistment/proof-ids.ts';
import type { EventOutbox } from '../../events/event-outbox.ts';
import type { WakeUpQueue } from '../../wakeup/wake-up-queue.ts';
import type { Stores } from '../stores.ts';
import { sqliteHeartbeat } from './heartbeat.ts';
import { measureDepth } from './mailbox-depth.ts';
import { createSqliteMailbox } from './sqlite-mailbox.ts';
import type { SqliteStore } from './store.ts';

function reportsOf(store: SqliteStore): ReportStore {
  return {
    add: (report, bounds) => store.run('reportAdd', { report, bounds }),
    list: which => store.read('reportList', which),
    find: id => store.read('reportFind', { id }),
    decide: decision => store.run('reportDecide', decision),
    sweep: (beforeMs, limit) => store.run('reportsSweep', { beforeMs, limit }),
  };
}

function eventsOf(store: SqliteStore): Pick<Stores, 'outgoingEvents' | 'subjectEvents'> {
  const outgoingEvents: EventOutbox = {
    due: (nowMs, farthestMs) => store.read('eventsDue', { nowMs, farthestMs }),
    take: lease => store.run('eventsTake', lease),
    remove: seq => store.run('eventRemove', { seq }),
    postpone: (seq, nextAtMs, code) => store.run('eventPostpone', { seq, nextAtMs, code }),
    bury: (seq, nowMs, code, maxDead) => store.run('eventBury', { seq, nowMs, code, maxDead }),
    list: which => store.read('eventsList', which),
    revive: which => store.run('eventsRevive', which),
    counts: () => store.read('eventCounts', undefined),
    sweep: (beforeMs, limit) => store.run('eventsSweep', { beforeMs, limit }),
  };
  return { outgoingEvents, subjectEvents: { apply: event => store.run('subjectEventApply', event) } };
}

export function sqliteStores(store: SqliteStore): Stores {
  return {
    accounts: {
      find: (interopId, askerRow, onlyAbout) => store.read('accountFind', { interopId, askerRow, onlyAbout }),
      findByIdentifier: (provider, identifier, askerRow, onlyAbout) =>
        store.read('accountFindByIdentifier', { provider, identifier, askerRow, onlyAbout }),
      readIdentityKey: account => store.read('accountIdentityKey', { account }),
      listDevices: account => store.read('accountDevices', { account }),
      enlist: args => store.run('accountEnlist', args),
      enlistMany: list => store.run('accountEnlistMany', list),
      authoriseDevice: authorisation => store.run('deviceAuthorise', authorisation),
      removeDevice: removal => store.run('deviceRemove', removal),
      readManifest: account => store.read('manifestRead', { account }),
      publishManifest: manifest => store.run('manifestPublish', manifest),
      raiseStoreCount: (device, count) => store.run('storeCountRaise', { device, count }),
      withdraw: (account, event) => store.run('accountWithdraw', { account, event }),
      remove: removal => store.run('accountRemove', removal),
      setStatus: change => store.run('accountSetStatus', change),
      setOptIn: (account, provider, optedIn) => store.run('optInSet', { account, provider, optedIn }),
      sweepAuthorisations: (judgeMs, limit) => store.run('deviceAuthorisationSweep', { judgeMs, limit }),
    },
    contacts: sqliteContacts(store),
    links: sqliteLinks(store),
    keys: {
      publish: keys => store.run('keysPublish', keys),
      takeBundles: (devices, lastResortOnly = []) => store.run('keysTake', { devices, lastResortOnly }),
      countOneTimeKeys: device => store.read('keysCount', { device }),
    },
    proofIds: sqliteProofIds(store),
    providers: {
      register: (providers, nowMs) => store.run('providersRegister', { providers, nowMs }),
      setStatus: change => store.run('providerSetStatus', change),
      noteKeysRevoked: note => store.run('providerKeysRevoked', note),
      keepKeySet: set => store.run('keySetKeep', set),
      keptKeySets: () => store.read('keySets', undefined),
      listUse: () => store.read('providersUse', undefined),
    },
    applications: {
      apply: application => store.run('providerApply', application),
      step: (step, to) => store.run('providerStep', { step, to }),
      changeGrant: (step, grant) => store.run('providerGrantChange', { step, grant }),
      acceptAgreement: (id, version, nowMs) => store.run('providerAgreementAccept', { id, version, nowMs }),
      expire: (beforeMs, nowMs) => store.run('providerApplicationsExpire', { beforeMs, nowMs }),
      find: id => store.read('providerApplication', { id }),
      findByIssuer: issuer => store.read('providerApplicationOfIssuer', { issuer }),
      findByNumber: number => store.read('providerApplicationOfNumber', { number }),
      list: (limit, stage) => store.read('providerApplications', { limit, stage }),
      admitted: () => store.read('providersAdmitted', undefined),
      keepAgreement: agreement => store.run('agreementKeep', agreement),
      agreement: version => store.read('agreementRead', { version }),
    },
    wakeUps: sqliteWakeUps(store),
    reports: reportsOf(store),
    restrictions: sqliteRestrictions(store),
    ...eventsOf(store),
    audit: {
      note: note => store.run('auditNote', note),
      page: (afterSeq, limit, subject) => store.read('auditPage', { afterSeq, limit, subject }),
      head: () => store.read('auditHead', undefined),
    },
    admins: {
      add: admin => store.run('adminAdd', admin),
      remove: removal => store.run('adminRemove', removal),
      list: () => store.read('adminList', undefined),
      findByToken: tokenDigest => store.read('adminFind', { tokenDigest }),
    },
    people: {
      view: interopId => store.read('personView', { interopId }),
      export: interopId => store.read('personExport', { interopId }),
      mail: (device, afterSeq, maxCount, maxBytes) =>
        store.read('personMail', { device, afterSeq, maxCount, maxBytes }),
    },
    clock: sqliteClock(store),
    mailboxes: createSqliteMailbox(store),
    waiting: () => store.waiting,
    measureDepth: () => measureDepth(store),
    health: sqliteHeartbeat(store, () => performance.now()),
  };
}

function sqliteContacts(store: SqliteStore): ContactStore {
  return {
    admit: args => store.run('contactAdmit', args),
    decide: args => store.run('contactDecide', args),
    page: (account, after, limit) => store.read('contactPage', { account, after, limit }),
    findKey: (account, interopId) => store.read('contactFindKey', { account, interopId }),
  };
}

function sqliteLinks(store: SqliteStore): ContactLinkStore {
  return {
    add: link => store.run('linkAdd', link),
    remove: (account, digest) => store.run('linkRemove', { account, digest }),
    list: (account, judgeMs) => store.read('linkList', { account, judgeMs }),
    ownerOf: (digest, judgeMs) => store.read('linkOwner', { digest, judgeMs }),
    redeem: redemption => store.run('linkRedeem', redemption),
    setLinkOnly: (account, linkOnly) => store.run('linkOnlySet', { account, linkOnly }),
    sweep: (judgeMs, limit) => store.run('linksSweep', { judgeMs, limit }),
  };
}

function sqliteRestrictions(store: SqliteStore): RestrictionStore {
  return {
    voices: (subject, sinceMs, limit) => store.read('restrictionVoices', { subject, sinceMs, limit }),
    find: subject => store.read('restrictionFind', { subject }),
    list: (after, limit) => store.read('restrictionList', { after, limit }),
    put: change => store.run('restrictionPut', change),
    forget: (subject, countedBeforeMs) => store.run('restrictionForget', { subject, countedBeforeMs }),
  };
}

function sqliteWakeUps(store: SqliteStore): WakeUpQueue {
  return {
    write: list => store.run('wakeUpsWrite', list),
    page: (afterAccount, limit) => store.read('wakeUpsPending', { afterAccount, limit }),
  };
}

function sqliteProofIds(store: SqliteStore): ProofIds {
  return {
    take: (ids, expiresAtMs) => store.run('proofsTake', { ids, expiresAtMs }),
    sweep: (nowMs, limit) => store.run('proofSweep', { nowMs, limit }),
  };
}

function sqliteClock(store: SqliteStore): ClockStore {
  return {
    read: () => store.read('clockRead', undefined),
    note: time => store.run('clockNote', time),
    confirm: confirmation => store.run('clockConfirm', confirmation),
  };
}
