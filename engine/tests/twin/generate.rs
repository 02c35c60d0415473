//! Streams made up at random, from a seed.

use super::act::{Act, some_size};
use super::dice::Dice;
use super::said::{Body, Request, Stream};

const METHODS: &[&str] =
    &["GET", "GET", "GET", "POST", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS", "PURGE"];
const TARGETS: &[&str] = &[
    "",
    "/",
    "/a",
    "/a/b?x=1",
    "/a/",
    "?q",
    "?",
    "//a",
    "/a//b",
    "/./a",
    "/a/../b",
    "/%61",
    "/a%2Fb",
    "/a%20b",
    "/;p=1",
    "/a?b=/../c",
    "/~!$&'()*+,=:@",
];
const HOSTS: &[&str] =
    &["a.test", "a.test", "a.test", "A.TEST", "a.test:80", "a.test:8080", "10.0.0.1"];
/// Lines that requests have or have not.
const LINES: &[&str] = &[
    "Accept: */*",
    "Accept-Encoding: gzip, br",
    "User-Agent: twin",
    "Cookie: a=1",
    "Cookie: b=2",
    "X-Many: 1",
    "x-many: 2",
    "X-Empty:",
    "X-Spaces:  \t both \t ",
    "X-Odd: a\tb",
    "X-Forwarded-For: 10.1.1.1",
    "X-Forwarded-For: 10.2.2.2, 10.3.3.3",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: elsewhere.test",
    "X-Forwarded-Port: 1",
    "X-Forwarded-Path: /x",
    "X-Forwarded-Prefix: /y",
    "X-Real-IP: 10.4.4.4",
    "X-Kong-Request-Id: mine",
    "Forwarded: for=10.5.5.5",
    "Via: 1.0 before",
    "TE: trailers",
    "TE: gzip, trailers;q=0.5",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "Connection: keep-alive",
    "Connection: X-Hop",
    "X-Hop: 1",
    "Authorization: Basic YTpi",
    "Content-Type: application/json",
    "Range: bytes=0-3",
    "If-None-Match: \"x\"",
    "X_Under: 1",
];

/// The stream of this seed.
pub(crate) fn some_stream(seed: u64) -> Stream {
    let mut dice = Dice(seed);
    let count = 1 + (0..3).map(|_| dice.below(8)).min().unwrap_or(0);
    let requests = (0..count).map(|number| some_request(&mut dice, number + 1 == count)).collect();
    let most = dice.pick(&[usize::MAX, usize::MAX, 20_000, 1500, 200, 20, 3, 1]);
    Stream { requests, most, seed: dice.next() }
}

fn some_request(dice: &mut Dice, is_last: bool) -> Request {
    let method = dice.pick(METHODS);
    let version = if dice.one_in(12) { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut lines = vec![format!("Host: {}", dice.pick(HOSTS)).into_bytes()];
    if version == "HTTP/1.0" && dice.one_in(3) {
        lines.clear();
    }
    for line in LINES {
        if dice.one_in(12) {
            lines.push(line.as_bytes().to_vec());
        }
    }
    if dice.one_in(if is_last { 2 } else { 20 }) {
        lines.push(b"Connection: close".to_vec());
    }
    let has_body = matches!(method, "POST" | "PUT" | "PATCH") || dice.one_in(10);
    let chunks = version == "HTTP/1.1" && dice.one_in(2);
    let body = match (has_body, chunks) {
        (false, _) => Body::None,
        (true, false) => Body::Length(some_size(dice)),
        (true, true) => Body::Chunked(some_chunks(dice)),
    };
    let (target, act) = (dice.pick(TARGETS).to_owned(), Act::some(dice));
    Request { method, target, version, lines, body, act, follows: dice.one_in(3) }
}

fn some_chunks(dice: &mut Dice) -> Vec<usize> {
    let count = dice.below(6);
    (0..count).map(|_| 1 + some_size(dice) / 3).collect()
}
