// The choice of a language. Knows nothing of words.
import { chooseLanguage, language, languageNames, t } from '../strings.ts';

export function LanguageChoice() {
  return (
    <select
      aria-label={t('language')}
      value={language.value}
      onChange={event => chooseLanguage(event.currentTarget.value)}
    >
      {Object.entries(languageNames).map(([tag, name]) => (
        <option key={tag} value={tag} lang={tag}>
          {name}
        </option>
      ))}
    </select>
  );
}
