// What clients do in turn on a connection: ask, send something, ask for the head alone, ask for what
// is not there. Each gets the answer that is its own.
//
//   k6 run --env TARGET=http://127.0.0.1:8000/hello loadtest/k6/mixed.js

import { check } from 'k6';
import http from 'k6/http';

const body = 'x'.repeat(16384);
const nowhere = __ENV.TARGET.replace(/^(https?:\/\/[^/]+).*/, '$1/nowhere');

http.setResponseCallback(http.expectedStatuses(200, 404));

export const options = {
  scenarios: { mixed: { executor: 'constant-vus', vus: 16, duration: '8s' } },
  thresholds: {
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
  },
};

export default function () {
  check(http.get(__ENV.TARGET), { 'GET is served': (r) => r.status === 200 && r.body.length > 0 });
  check(http.post(__ENV.TARGET, body), { 'POST is served': (r) => r.status === 200 });
  check(http.head(__ENV.TARGET), { 'HEAD has no body': (r) => r.status === 200 && !r.body });
  check(http.get(nowhere), {
    'no route, said as such': (r) => r.status === 404 && r.json('message') === 'no Route matched with those values',
  });
}
