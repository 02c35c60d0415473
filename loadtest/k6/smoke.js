// A steady rate through the gateway: every request succeeds, and none is slow for a loopback.
//
//   k6 run --env TARGET=http://127.0.0.1:8000/hello loadtest/k6/smoke.js

import { check } from 'k6';
import http from 'k6/http';

export const options = {
  scenarios: {
    steady: { executor: 'constant-arrival-rate', rate: 500, timeUnit: '1s', duration: '10s', preAllocatedVUs: 50 },
  },
  thresholds: {
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
    http_req_duration: ['p(99)<50'],
    dropped_iterations: ['count==0'],
  },
};

export default function () {
  const answer = http.get(__ENV.TARGET);
  check(answer, {
    'is served': (r) => r.status === 200,
    'says who carried it': (r) => (r.headers['Via'] || '').includes('gateway/'),
  });
}
