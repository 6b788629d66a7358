// The page begins: styles, the line to the process, the first screen. Knows nothing of any of them.
import { render } from 'preact';
import { App } from './app.tsx';
import { listenForShortcuts } from './shortcuts.ts';
import { open } from './store.ts';
import './style/tokens.css';
import './style/base.css';
import './style/frame.css';
import './style/conversation.css';
import './style/files.css';
import './style/finding.css';

render(<App />, document.getElementById('page')!);
listenForShortcuts();
void open();
