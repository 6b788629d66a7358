// Which screen is shown, as the fragment of the address: going back works, and a page that is loaded again is where it was.
// Knows nothing of what screens show.
import { signal } from '@preact/signals';

export type Route =
  | { readonly screen: 'chats' }
  | { readonly screen: 'chat'; readonly id: string }
  | { readonly screen: 'requests' }
  | { readonly screen: 'settings' };

function read(): Route {
  const [screen, id] = location.hash.replace(/^#\//, '').split('/');
  if (screen === 'chat' && id !== undefined && id !== '') return { screen, id: decodeURIComponent(id) };
  if (screen === 'requests' || screen === 'settings') return { screen };
  return { screen: 'chats' };
}

export const route = signal<Route>(read());

addEventListener('popstate', () => {
  route.value = read();
});

export function go(to: Route): void {
  const now = route.value;
  if (now.screen === to.screen && (now.screen !== 'chat' || to.screen !== 'chat' || now.id === to.id)) return;
  const fragment = to.screen === 'chat' ? `chat/${encodeURIComponent(to.id)}` : to.screen;
  history.pushState(undefined, '', `/#/${fragment}`);
  route.value = to;
}
