// The page's icons, as paths of a 24 × 24 square. Values alone: knows nothing of what they mean where they stand.
const paths = {
  bridge: 'M3 19V9h3V5h2v4h8V5h2v4h3v10h-6v-3a3 3 0 0 0-6 0v3z',
  back: 'M14.7 6.3 9 12l5.7 5.7 1.4-1.4L11.8 12l4.3-4.3z',
  chats: 'M4 4h16v12H8l-4 4zm2 2v9.2L7.2 14H18V6z',
  requests:
    'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8m-8 8v-1c0-3 4-5 8-5 1 0 2 .1 3 .4V16h3v3h3v1zm14-9h2v3h3v2h-3v3h-2v-3h-3v-2h3z',
  settings:
    'M10 3h4l.5 2.6 2 .9 2.2-1.5 2.8 2.8L20 10l.8 2-.8 2 1.5 2.2-2.8 2.8-2.2-1.5-2 .9L14 21h-4l-.5-2.6-2-.9-2.2 1.5-2.8-2.8L4 14l-.8-2L4 10 2.5 7.800 5.300 5l2.200 1.500 2-.9zm2 6a3 3 0 1 0 0 6 3 3 0 0 0 0-6',
  plus: 'M11 5h2v6h6v2h-6v6h-2v-6H5v-2h6z',
  send: 'M4 4l17 8-17 8 2-7 9-1-9-1z',
  more: 'M5 10a2 2 0 1 0 0 4 2 2 0 0 0 0-4m7 0a2 2 0 1 0 0 4 2 2 0 0 0 0-4m7 0a2 2 0 1 0 0 4 2 2 0 0 0 0-4',
  close:
    'M6.400 5 12 10.600 17.600 5 19 6.400 13.400 12l5.600 5.600-1.400 1.400L12 13.400 6.400 19 5 17.600 10.600 12 5 6.400z',
  pin: 'M8 3h8v2l-1 1v5l3 3v2h-5v5l-1 1-1-1v-5H6v-2l3-3V6L8 5z',
  mute: 'M4 9v6h4l5 4V5L8 9zm12.500 3 2.500-2.500 1 1L17.500 13l2.500 2.500-1 1-2.500-2.500-2.500 2.500-1-1 2.500-2.500-2.500-2.500 1-1z',
  clock: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18m0 2a7 7 0 1 1 0 14 7 7 0 0 1 0-14m-1 2v6l4.500 2.700 1-1.700-3.500-2V7z',
  lock: 'M7 10V8a5 5 0 0 1 10 0v2h2v11H5V10zm2 0h6V8a3 3 0 0 0-6 0z',
  tick: 'M9.500 17.500 4 12l1.400-1.400 4.100 4.100 9.100-9.100L20 7z',
  ticks: 'M7.500 17 2 11.500l1.400-1.400 4.100 4.100 8-8L17 7.600zm5.500 0-2-2 1.400-1.400.6.6 8-8L22.500 7.600z',
  attach:
    'M16.500 6v10.500a4.500 4.500 0 0 1-9 0V5.500a3 3 0 0 1 6 0V15a1.500 1.500 0 0 1-3 0V6H9v9a3 3 0 0 0 6 0V5.500a4.500 4.500 0 0 0-9 0v11a6 6 0 0 0 12 0V6z',
  search: 'M10 4a6 6 0 1 0 3.700 10.700l5 5 1.400-1.400-5-5A6 6 0 0 0 10 4m0 2a4 4 0 1 1 0 8 4 4 0 0 1 0-8',
  smile:
    'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18m0 2a7 7 0 1 1 0 14 7 7 0 0 1 0-14M8.500 8.500a1.200 1.200 0 1 0 0 2.400 1.200 1.200 0 0 0 0-2.400m7 0a1.200 1.200 0 1 0 0 2.400 1.200 1.200 0 0 0 0-2.400M7.500 13a5 5 0 0 0 9 0l-1.500-.500a3.400 3.400 0 0 1-6 0z',
  file: 'M6 2h8l5 5v15H6zm2 2v16h9V8.500h-4.500V4z',
  picture: 'M3 4h18v16H3zm2 2v9l4-4 4 4 2-2 4 4V6zm11 1.500a1.500 1.500 0 1 1 0 3 1.500 1.500 0 0 1 0-3',
  microphone:
    'M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3m-6 8h2a4 4 0 0 0 8 0h2a6 6 0 0 1-5 5.900V20h3v2H8v-2h3v-3.100A6 6 0 0 1 6 11',
  pause: 'M7 5h4v14H7zm6 0h4v14h-4z',
  play: 'M8 5l11 7-11 7z',
  warning: 'M12 3 1.500 21h21zm-1 7h2v5h-2zm0 6.500h2v2h-2z',
} as const;

export type IconName = keyof typeof paths;

type Props = { readonly name: IconName; readonly class?: string };

/** Said by the words beside it or by the name of its button, never by itself. */
export function Icon({ name, class: more = '' }: Props) {
  return (
    <svg class={`icon ${more}`} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={paths[name]} />
    </svg>
  );
}
