//! Streams made up at random, from a seed.

use super::act::{Act, After, some_size};
use super::random::Random;
use super::said::{Body, Ending, Expects, Request, Stream};
use std::sync::LazyLock;

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
/// Buffered, streamed, and as the client said it.
const ROUTES: &[&str] = &["/b", "/b", "/s", "/p", "/none"];
const HOSTS: &[&[u8]] = &[
    b"Host: a.test",
    b"Host: a.test",
    b"Host: a.test",
    b"Host: A.TEST",
    b"host:a.test:80",
    b"Host: a.test:8080",
    b"HOST: 10.0.0.1",
    b"Host: [::1]:80",
];
/// Lines that requests have or have not.
const LINES: &[&[u8]] = &[
    b"Accept: */*",
    b"Accept: application/json",
    b"Accept: text/html;q=0.3, text/plain",
    b"Accept-Encoding: gzip, br",
    b"User-Agent: twin",
    b"Cookie: a=1",
    b"Cookie: b=2",
    b"X-Many: 1",
    b"x-many: 2",
    b"X-Empty:",
    b"X-Spaces:  \t both \t ",
    b"X-Odd: a\tb",
    b"X-High: \xff\xe9",
    b"X-Forwarded-For: 10.1.1.1",
    b"X-Forwarded-For: 10.2.2.2, 10.3.3.3",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: elsewhere.test",
    b"X-Forwarded-Port: 1",
    b"X-Forwarded-Path: /x",
    b"X-Forwarded-Prefix: /y",
    b"X-Real-IP: 10.4.4.4",
    b"X-Kong-Request-Id: mine",
    b"Forwarded: for=10.5.5.5",
    b"Via: 1.0 before",
    b"TE: trailers",
    b"TE: gzip, trailers;q=0.5",
    b"Trailer: X-Sum",
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"Connection: keep-alive",
    b"Connection: X-Hop",
    b"Connection: Host, X-Twin-Not",
    b"X-Hop: 1",
    b"Upgrade: h2c",
    b"Authorization: Basic YTpi",
    b"Content-Type: application/json",
    b"Content-Type: application/grpc",
    b"Range: bytes=0-3",
    b"If-None-Match: \"x\"",
    b"X_Under: 1",
];
/// Heads that are long in one way or the other, around where there are limits.
static LONG: LazyLock<Vec<&'static [u8]>> = LazyLock::new(|| {
    let many = [90, 180, 185, 190, 195, 199, 200, 201, 250, 300];
    let many = many.map(|count| (0..count).map(|at| format!("X-{at}: {at}\r\n")).collect());
    let large = [7_000, 8_170, 8_180, 8_183, 8_184, 9_000].map(|most| "x".repeat(most));
    let one = large.clone().map(|value| format!("X: {value}"));
    let several = large.map(|value| format!("X-L: {value}\r\n").repeat(4));
    let all = many.into_iter().chain(one).chain(several);
    all.map(|text: String| text.trim_end().to_owned().leak().as_bytes()).collect()
});
/// Lines that no request should have.
const ODD_LINES: &[&[u8]] = &[
    b"No colon",
    b": no name",
    b"X-Space : 1",
    b" X-Folded: 1",
    b"X-Folded: 1\r\n 2",
    b"X-Folded:\r\n\t1",
    b"Host: a.test\r\n .b",
    b"X-A: 1\n",
    b"X-A: 1\r",
    b"X-Nul: a\0b",
    b"X-Cr: a\rb",
    b"X-Lf: a\nX-B: b",
    b"X(Y): 1",
    b"X-Bell: \x07",
    b"Host: b.test",
    b"Host: a b",
    b"Host:",
    b"Expect: more",
    b"Expect: 100-continue",
    b"\xc3\xa9: 1",
    b"Connection: close, close, keep-alive",
    b"Connection: Content-Length",
    b"Connection: Transfer-Encoding",
    b"Connection: X-Forwarded-For, X-Real-IP",
];
const ODD_METHODS: &[&str] = &["TRACE", "CONNECT", "get", "G(T", "PRI", "\r\nGET", "", " GET"];
const ODD_TARGETS: &[&str] =
    &[" a", "/%", "/%zz", "/\u{1}", "/#a", "/\u{e9}", "/a b c", "*", "/%00"];
const ODD_VERSIONS: &[&str] = &[
    "HTTP/1.1\nX-A: 1",
    "HTTP/1.1\r\n X-A: 1",
    "HTTP/1.1\r",
    "HTTP/1.2",
    "HTTP/2.0",
    "HTTP/0.9",
    "http/1.1",
    "HTTP/1.1 ",
    "HTTP/1",
    "",
    "HTTP/11.1",
];
/// Bodies that make no sense, or not to everybody.
const ODD_BODIES: &[(&str, &[u8])] = &[
    ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"2\r\nab\r\n0\r\n\r\n"),
    ("Content-Length: 2\r\nContent-Length: 2\r\n", b"ab"),
    ("Content-Length: 2, 2\r\n", b"ab"),
    ("Content-Length: 2\r\nContent-Length: 3\r\n", b"abc"),
    ("Content-Length: -1\r\n", b""),
    ("Content-Length: +1\r\n", b"a"),
    ("Content-Length: 0x1\r\n", b"a"),
    ("Content-Length: \r\n", b""),
    ("Content-Length: 99999999999999999999\r\n", b""),
    ("Content-Length: 002\r\n", b"ab"),
    ("Transfer-Encoding: gzip, chunked\r\n", b"2\r\nab\r\n0\r\n\r\n"),
    ("Transfer-Encoding: identity\r\n", b""),
    ("Transfer-Encoding: Chunked\r\n", b"2\r\nab\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"2\r\nab\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked, chunked\r\n", b"2\r\nab\r\n0\r\n\r\n"),
    ("Transfer-Encoding:\r\n", b""),
    ("Transfer-Encoding: xchunked\r\n", b"2\r\nab\r\n0\r\n\r\n"),
    ("Transfer-Encoding : chunked\r\n", b"2\r\nab\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", b"002\r\nab\r\n000\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", b"zz\r\nab\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", b"2\nab\n0\n\n"),
    ("Transfer-Encoding: chunked\r\n", b"2\r\nabc\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", b"-2\r\nab\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", b"fffffffffffffffff\r\nab\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", b"2\r\nab\r\n0\r\nNo colon\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", b"2\r\nab\r\n0\r\nX: a\nY: b\r\n\r\n"),
];
const TRAILERS: &[&str] =
    &["", "", "", "X-Sum: 1\r\n", "X-A: 1\r\nx-a: 2\r\n", "Content-Length: 3\r\n"];
const EXTENSIONS: &[&str] = &["", "", "", ";a=b", ";a=\"b;c\""];
const WEBSOCKET: &[&[u8]] = &[
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    b"Sec-WebSocket-Version: 13",
];

/// The stream of this seed.
pub(crate) fn some_stream(seed: u64) -> Stream {
    let mut dice = Random(seed);
    let count = 1 + (0..3).map(|_| dice.below(8)).min().unwrap_or(0);
    let requests = (0..count).map(|number| some_request(&mut dice, number + 1 == count)).collect();
    let most = dice.pick(&[usize::MAX, usize::MAX, 20_000, 1500, 200, 20, 3, 1]);
    let part = dice.below(1000);
    let ending =
        dice.pick(&[Ending::Stops(part), Ending::Resets(part), Ending::Whole, Ending::Whole]);
    let ending = if dice.one_in(3) { ending } else { Ending::Whole };
    Stream { requests, most, seed: dice.next(), ending }
}

fn some_request(dice: &mut Random, is_last: bool) -> Request {
    let (method, target) = (dice.pick(METHODS), dice.pick(TARGETS));
    let version = if dice.one_in(12) { "HTTP/1.0" } else { "HTTP/1.1" };
    let mut lines = vec![dice.pick(HOSTS)];
    if version == "HTTP/1.0" && dice.one_in(3) {
        lines.clear();
    }
    lines.extend(LINES.iter().filter(|_| dice.one_in(14)));
    if dice.one_in(60) {
        lines.push(dice.pick(&LONG));
    }
    if dice.one_in(if is_last { 2 } else { 20 }) {
        lines.push(b"Connection: close");
    }
    let upgrades = dice.one_in(20);
    let body = if upgrades {
        lines.extend(WEBSOCKET);
        some_other(dice, is_last)
    } else {
        some_body(dice, method, version)
    };
    let expects = match body {
        Body::Length(1..) | Body::Chunked { .. } if version == "HTTP/1.1" => {
            dice.pick(&[Expects::Nothing, Expects::Nothing, Expects::Waits, Expects::Hastes])
        }
        _ => Expects::Nothing,
    };
    let act = some_act(dice, &body, method == "HEAD", is_last);
    let (route, follows) = (dice.pick(ROUTES), dice.one_in(3));
    let mut request =
        Request { method, route, target, version, lines, body, expects, act, follows };
    if dice.one_in(25) {
        spoil(dice, &mut request);
    }
    request
}

/// Something said in another protocol, or nothing yet where something else may follow.
fn some_other(dice: &mut Random, is_last: bool) -> Body {
    let early: &[u8] = if is_last && dice.one_in(2) { b"\x81\x05early" } else { b"" };
    let count = if is_last { dice.below(5) } else { 0 };
    let turns = (0..count).map(|_| (some_size(dice), some_size(dice))).collect();
    Body::Other { early, turns, leaves: dice.one_in(2) }
}

fn some_act(dice: &mut Random, body: &Body, is_head: bool, is_last: bool) -> Act {
    let act = Act::some(dice, is_head);
    match body {
        Body::Other { early, turns, leaves } if is_last && !dice.one_in(3) => {
            let before = (early.len(), if *leaves { 0 } else { some_size(dice) });
            let turns = std::iter::once(before).chain(turns.iter().copied());
            Act::switches(turns.collect(), *leaves)
        }
        // What else was asked on that connection would be a matter of chance.
        Body::Length(1..) | Body::Chunked { .. } if is_last => {
            let ends = matches!(act.after, After::Keeps | After::Closes);
            Act { early: ends && dice.one_in(4), ..act }
        }
        _ => act,
    }
}

fn some_body(dice: &mut Random, method: &str, version: &str) -> Body {
    let has_body = matches!(method, "POST" | "PUT" | "PATCH") || dice.one_in(10);
    match (has_body, version == "HTTP/1.1" && dice.one_in(2)) {
        (false, _) => Body::None,
        (true, false) => Body::Length(some_size(dice)),
        (true, true) => Body::Chunked {
            sizes: (0..dice.below(6)).map(|_| 1 + some_size(dice) / 3).collect(),
            extension: dice.pick(EXTENSIONS),
            trailers: dice.pick(TRAILERS),
        },
    }
}

/// Makes something of it as it should not be.
fn spoil(dice: &mut Random, request: &mut Request) {
    request.expects = Expects::Nothing; // who cannot read it does not say to go on
    match dice.below(6) {
        0 => request.method = dice.pick(ODD_METHODS),
        1 => request.target = dice.pick(ODD_TARGETS),
        2 => request.version = dice.pick(ODD_VERSIONS),
        3 => request.lines.insert(0, dice.pick(ODD_LINES)),
        _ => {
            let (lines, bytes) = dice.pick(ODD_BODIES);
            request.body = Body::Odd(lines, bytes);
        }
    }
}
