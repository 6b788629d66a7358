// A choice of emoji. Screen readers know their names; so does nobody else need a list of them. Knows nothing of what for.
import { t, type StringName } from '../strings.ts';
import { Dialog } from './dialog.tsx';

const groups: readonly (readonly [StringName, string])[] = [
  [
    'emojiFaces',
    '😀 😃 😄 😁 😅 😂 🤣 😊 🙂 🙃 😉 😍 🥰 😘 😋 😜 🤪 🤗 🤔 🤨 😐 😏 🙄 😬 😌 😔 😴 🤒 🤕 🥵 🥶 🤯 🥳 😎 🤓 😕 😟 🙁 😮 😲 😳 🥺 😢 😭 😱 😞 😩 🥱 😤 😡 🤬 😈 💀 💩 🤡 👻 👽 🤖',
  ],
  [
    'emojiPeople',
    '👍 👎 👌 🤌 ✌️ 🤞 🤟 🤙 👈 👉 👆 👇 ☝️ ✋ 👋 🤝 🙏 👏 🙌 💪 👀 🧠 👶 🧒 🧑 👩 👨 🧓 🤷 🤦 🙋 💁 🙅 🚶 🏃 💃 🕺 👨‍👩‍👧 ❤️ 🧡 💛 💚 💙 💜 🖤 🤍 💔 💯 💥 💫 💤',
  ],
  [
    'emojiNature',
    '🐶 🐱 🐭 🐹 🐰 🦊 🐻 🐼 🐨 🐯 🦁 🐮 🐷 🐸 🐵 🐔 🐧 🐦 🦉 🦄 🐝 🦋 🐌 🐞 🐢 🐍 🐙 🐠 🐬 🐳 🌵 🎄 🌲 🌳 🌱 🍀 🍁 🌸 🌹 🌻 🌞 🌙 ⭐ ⚡ 🔥 🌈 ☀️ ⛅ 🌧️ ❄️ 💧 🌊',
  ],
  [
    'emojiFood',
    '🍏 🍎 🍐 🍊 🍋 🍌 🍉 🍇 🍓 🫐 🍒 🍑 🥭 🍍 🥝 🍅 🥑 🥦 🥕 🌽 🥔 🥖 🥨 🧀 🥚 🥞 🥓 🍗 🍔 🍟 🍕 🌭 🥪 🌮 🥗 🍝 🍜 🍣 🍰 🎂 🍪 🍫 🍿 🍦 ☕ 🍵 🥛 🍺 🍷 🥂',
  ],
  [
    'emojiThings',
    '⚽ 🏀 🎾 🏐 🎯 🎮 🎲 🎨 🎸 🎹 🎬 🎁 🎈 🎉 🏆 🚗 🚕 🚌 🚲 🚆 ✈️ 🚀 ⛵ 🏠 🏢 🏥 🏫 ⛺ 🗺️ 📱 💻 ⌨️ 📷 🔋 💡 🔦 📚 ✏️ 📎 📌 📅 📈 🔒 🔑 🔨 🧰 💊 🧸 👕 👟 🎒 👓 💍 ☂️ ⏰ 💰',
  ],
  ['emojiSigns', '✅ ❌ ❓ ❗ ⚠️ ⛔ 🚫 ♻️ ➕ ➖ ➡️ ⬅️ ⬆️ ⬇️ 🔁 🔔 🔕 💬 🏁 🏳️ 🏳️‍🌈 🇪🇺 🔴 🟠 🟡 🟢 🔵 🟣 ⚫ ⚪'],
];

type Props = { readonly onChoose: (emoji: string) => void; readonly onClose: () => void };

export function EmojiChoice({ onChoose, onClose }: Props) {
  return (
    <Dialog title={t('emoji')} onClose={onClose} class="tall">
      {groups.map(([name, emoji]) => (
        <section key={name} aria-label={t(name)}>
          <h3>{t(name)}</h3>
          <div class="emoji" role="group" aria-label={t(name)} onKeyDown={moveInGrid}>
            {emoji.split(' ').map((each, at) => (
              <button
                key={each}
                type="button"
                class="quiet"
                tabIndex={at === 0 ? 0 : -1}
                onClick={() => {
                  onClose();
                  onChoose(each);
                }}
              >
                {each}
              </button>
            ))}
          </div>
        </section>
      ))}
    </Dialog>
  );
}

/** Arrow keys go from one to the next; up and down by what stands above and below. */
function moveInGrid(event: KeyboardEvent & { readonly currentTarget: HTMLElement }): void {
  const all = [...event.currentTarget.querySelectorAll<HTMLElement>('button')];
  const at = all.findIndex(each => each === document.activeElement);
  const top = all[0]?.offsetTop;
  const perRow = Math.max(
    1,
    all.findIndex(each => each.offsetTop !== top),
  );
  const forward = getComputedStyle(event.currentTarget).direction === 'rtl' ? -1 : 1;
  const step = { ArrowRight: forward, ArrowLeft: -forward, ArrowDown: perRow, ArrowUp: -perRow }[event.key];
  const next = step === undefined || at === -1 ? undefined : all[at + step];
  if (next === undefined) return;
  event.preventDefault();
  next.focus();
}
