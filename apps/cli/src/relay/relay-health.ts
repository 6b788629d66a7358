// Whether a relay answers, whether clients may be sent to it, and its numbers: for supervisors, balancers and Prometheus.
// Nothing in it is of any person. Knows nothing of connections.
import { createServer, type Server } from 'node:http';
import type { Relay } from './relay-server.ts';

export function createRelayHealth(relay: Relay, isReady: () => boolean): Server {
  return createServer({ headersTimeout: 5_000, requestTimeout: 5_000 }, (request, response) => {
    const answer = (status: number, body: string, type = 'application/json'): void => {
      response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body);
    };
    const ready = isReady();
    switch (request.method === 'GET' ? request.url : '') {
      case '/healthz':
        return answer(200, '{"status":"ok"}');
      case '/readyz':
        return answer(ready ? 200 : 503, JSON.stringify({ status: ready ? 'ready' : 'not-ready' }));
      case '/metrics':
        return answer(200, metricsOf(relay), 'text/plain; version=0.0.4; charset=utf-8');
      default:
        return answer(404, '{"status":"not-found"}');
    }
  });
}

export function metricsOf({ counts, tunnels }: Relay): string {
  const lines: string[] = [];
  const metric = (name: string, type: 'gauge' | 'counter', help: string, values: Record<string, number>): void => {
    lines.push(`# HELP drawbridge_relay_${name} ${help}`, `# TYPE drawbridge_relay_${name} ${type}`);
    for (const [labels, value] of Object.entries(values)) lines.push(`drawbridge_relay_${name}${labels} ${value}`);
  };
  metric('connections', 'gauge', 'Open connections of clients.', { '': counts.connections });
  metric('tunnels', 'gauge', 'Of these, passed on to an upstream.', { '': tunnels });
  metric('tunnels_total', 'counter', 'Tunnels opened.', { '': counts.tunnelsOpened });
  metric('bytes_total', 'counter', 'Bytes passed on, both ways.', { '': counts.bytes });
  const refused = Object.entries(counts.refused).map(([why, value]) => [`{reason="${why}"}`, value]);
  metric('refused_total', 'counter', 'Connections and requests refused.', Object.fromEntries(refused));
  return `${lines.join('\n')}\n`;
}
