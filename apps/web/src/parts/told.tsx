// What is said in passing: a line at the edge of the page, and what screen readers say. Knows nothing of who says it.
import { announcement, toast } from '../calls.ts';

export function Toast() {
  const told = toast.value;
  return (
    <div class="toasts" role="status">
      {told !== undefined && <p class={told.isFault ? 'toast fault' : 'toast'}>{told.text}</p>}
    </div>
  );
}

export function Announcer() {
  return (
    <div class="unseen" aria-live="polite">
      {announcement.value}
    </div>
  );
}
