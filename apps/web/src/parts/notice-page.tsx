// A page that says one thing. Knows nothing of what.
import type { ComponentChildren } from 'preact';
import { Icon } from './icon.tsx';

type Props = {
  readonly title: string;
  readonly text?: string;
  readonly isBusy?: boolean;
  readonly children?: ComponentChildren;
};

export function Notice({ title, text, isBusy = false, children }: Props) {
  return (
    <main class="alone" aria-busy={isBusy}>
      <div class="card centred">
        <Icon name="bridge" class={isBusy ? 'mark busy' : 'mark'} />
        <h1>{title}</h1>
        {text !== undefined && <p>{text}</p>}
        {children}
      </div>
    </main>
  );
}
