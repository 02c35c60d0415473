// A rate that rises tenfold within seconds: nothing fails on the way, and nothing is left behind.
//
//   k6 run --env TARGET=http://127.0.0.1:8000/hello loadtest/k6/ramp.js

import { check } from 'k6';
import http from 'k6/http';

export const options = {
  scenarios: {
    ramp: {
      executor: 'ramping-arrival-rate',
      startRate: 100,
      timeUnit: '1s',
      preAllocatedVUs: 100,
      stages: [
        { target: 1000, duration: '4s' },
        { target: 1000, duration: '4s' },
      ],
    },
  },
  thresholds: {
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
    http_req_duration: ['p(99)<100'],
    dropped_iterations: ['rate<1'],
  },
};

export default function () {
  check(http.get(__ENV.TARGET), { 'is served': (r) => r.status === 200 });
}
