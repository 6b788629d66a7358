// The bar above a screen: the way back where the page is narrow, and what the screen is. Knows nothing of the screen.
import type { ComponentChildren } from 'preact';
import { go } from '../route.ts';
import { t } from '../strings.ts';
import { Icon } from './icon.tsx';

type Props = { readonly title: ComponentChildren; readonly children?: ComponentChildren };

export function ScreenBar({ title, children }: Props) {
  return (
    <header class="bar">
      <button type="button" class="quiet narrow-only" aria-label={t('back')} onClick={() => go({ screen: 'chats' })}>
        <Icon name="back" class="mirrored" />
      </button>
      <h1>{title}</h1>
      {children}
    </header>
  );
}
