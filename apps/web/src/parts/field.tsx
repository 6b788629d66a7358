// A labelled field with its hint and what is wrong with it. Knows nothing of forms.
import { useId } from 'preact/hooks';

type Props = {
  readonly label: string;
  readonly hint?: string;
  readonly fault?: string | undefined;
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly type?: 'text' | 'url' | 'password';
  readonly autocomplete?: string;
  readonly required?: boolean;
  readonly autofocus?: boolean;
};

export function Field({ label, hint, fault, value, onInput, type = 'text', autocomplete = 'off', ...more }: Props) {
  const id = useId();
  const described = [hint === undefined ? '' : `${id}-hint`, fault === undefined ? '' : `${id}-fault`].join(' ').trim();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        // The element's types know one shape for each type of field, and none for a choice of them.
        {...({ type } as { readonly type: 'password' })}
        {...{ id, value, autocomplete }}
        {...more}
        spellcheck={false}
        dir="auto"
        maxLength={512}
        aria-invalid={fault !== undefined}
        aria-describedby={described === '' ? undefined : described}
        onInput={event => onInput(event.currentTarget.value)}
      />
      {hint !== undefined && <small id={`${id}-hint`}>{hint}</small>}
      {fault !== undefined && (
        <small id={`${id}-fault`} class="wrong">
          {fault}
        </small>
      )}
    </div>
  );
}
