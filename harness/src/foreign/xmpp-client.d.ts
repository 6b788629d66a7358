// What the tests use of @xmpp/client, which ships no types.
declare module '@xmpp/client' {
  export type XmlElement = {
    readonly name: string;
    readonly attrs: Readonly<Record<string, string>>;
    is(name: string, ns?: string): boolean;
    getChild(name: string, ns?: string): XmlElement | undefined;
    getChildren(name: string): XmlElement[];
    text(): string;
  };
  export type XmppClient = {
    readonly jid: { toString(): string };
    readonly saslFactory: { use(name: string, mechanism: unknown): void };
    readonly reconnect: { stop(): void; reconnect(): Promise<void> };
    readonly status: string;
    readonly streamManagement: {
      readonly enabled: boolean;
      on(event: 'resumed' | 'fail', listener: () => void): void;
    };
    readonly iqCaller: {
      readonly handlers: Map<string, { readonly promise: Promise<unknown> }>;
      request(iq: XmlElement, timeoutMs?: number): Promise<XmlElement>;
    };
    readonly parser: object | null;
    _onData: (data: unknown) => void;
    start(): Promise<unknown>;
    stop(): Promise<unknown>;
    send(el: XmlElement): Promise<void>;
    on(event: 'stanza', listener: (el: XmlElement) => void): void;
    on(event: 'error', listener: (error: Error) => void): void;
    removeListener(event: 'stanza', listener: (el: XmlElement) => void): void;
  };
  export function client(options: Readonly<Record<string, unknown>>): XmppClient;
  export function xml(name: string, attrs?: Record<string, string>, ...children: unknown[]): XmlElement;
}
