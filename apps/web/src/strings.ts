// The words of the page in the person's language. Knows nothing of where they are shown.
import { signal } from '@preact/signals';
import { de } from './strings/de.ts';
import { en, type StringName, type Strings } from './strings/en.ts';
import { fr } from './strings/fr.ts';

export type { StringName };

export const languages = { en, de, fr } as const satisfies Record<string, Strings>;
export type Language = keyof typeof languages;
export const languageNames: Readonly<Record<Language, string>> = { en: 'English', de: 'Deutsch', fr: 'Français' };

const kept = 'language';

function isLanguage(text: string | undefined | null): text is Language {
  return text !== undefined && text !== null && Object.hasOwn(languages, text);
}

function wanted(): Language {
  const chosen = localStorage.getItem(kept);
  if (isLanguage(chosen)) return chosen;
  return navigator.languages.map(tag => tag.split('-')[0]).find(isLanguage) ?? 'en';
}

export const language = signal<Language>(wanted());

export function chooseLanguage(chosen: string): void {
  if (!isLanguage(chosen)) return;
  localStorage.setItem(kept, chosen);
  language.value = chosen;
}

export type Values = Readonly<Record<string, string | number>>;

/** The person's own variety of the language, for times and numbers. */
export function locale(): string {
  return navigator.languages.find(tag => tag.split('-')[0] === language.value) ?? language.value;
}

/** A sentence with its values filled in. */
export function t(name: StringName, values: Values = {}): string {
  return filled(languages[language.value][name], values);
}

type Counted = StringName extends infer N ? (N extends `${infer B}_one` ? B : never) : never;

/** The form that goes with a number. */
export function tn(name: Counted, count: number, values: Values = {}): string {
  const form = new Intl.PluralRules(language.value).select(count) === 'one' ? 'one' : 'other';
  return t(`${name}_${form}` as StringName, { count: new Intl.NumberFormat(locale()).format(count), ...values });
}

/** Undefined where the catalogue has nothing of that name. */
export function named(name: string): StringName | undefined {
  return Object.hasOwn(en, name) ? (name as StringName) : undefined;
}

/** Values that others wrote stay within their sentence, whichever way they are written (UAX 9: FSI, PDI). */
function filled(text: string, values: Values): string {
  return text.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) return '';
    return typeof value === 'number' || name === 'count' ? String(value) : `\u2068${value}\u2069`;
  });
}
