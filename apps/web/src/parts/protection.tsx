// What is protected from whom, in words for a person: the same wherever somebody decides. Knows nothing of cryptography.
import { t } from '../strings.ts';
import { Icon } from './icon.tsx';

type Props = { readonly gatekeeper: string; readonly provider: string };

export function Protection({ gatekeeper, provider }: Props) {
  const values = { gatekeeper, provider };
  return (
    <ul class="facts">
      <li>
        <Icon name="lock" />
        <span>{t('factContent', values)}</span>
      </li>
      <li>
        <Icon name="warning" />
        <span>{t('factGatekeeper', values)}</span>
      </li>
      <li>
        <Icon name="warning" />
        <span>{t('factProvider', values)}</span>
      </li>
      <li>
        <Icon name="warning" />
        <span>{t('factKeys')}</span>
      </li>
      <li>
        <Icon name="warning" />
        <span>{t('factAudit')}</span>
      </li>
    </ul>
  );
}
