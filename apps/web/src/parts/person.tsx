// Somebody as they are shown everywhere: initials, a name, what is odd about the name. Knows nothing of chats.
import type { PersonView } from '@drawbridge/cli/page/views';
import { nameOf } from '../format.ts';
import { type StringName, t } from '../strings.ts';

const hues = 8;

/** No picture of theirs is fetched: the first letter, and a colour of the name. */
export function Avatar({ person }: { readonly person: PersonView }) {
  const name = nameOf(person);
  const hue = Array.from(person.id).reduce((sum, letter) => sum + letter.charCodeAt(0), 0) % hues;
  const [first] = new Intl.Segmenter().segment(name);
  return (
    <span class="avatar" data-hue={hue} aria-hidden="true">
      {(first?.segment ?? '?').toUpperCase()}
    </span>
  );
}

const doubtWords: Readonly<Record<PersonView['doubts'][number], StringName>> = {
  'hidden-characters': 'doubtHidden',
  'mixed-scripts': 'doubtMixed',
  'looks-latin': 'doubtLatin',
  'styled-letters': 'doubtStyled',
};

export function NameDoubts({ person }: { readonly person: PersonView }) {
  if (person.doubts.length === 0) return null;
  return <p class="warning">{person.doubts.map(doubt => t(doubtWords[doubt])).join(' ')}</p>;
}
