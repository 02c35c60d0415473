//! Expressions in routes that take other engines for ever, or all memory.

use super::support::{Gateway, Origin, one};
use std::time::{Duration, Instant};

/// Expressions on which backtracking takes exponential or polynomial time, and a path for each.
const SLOW: &[(&str, &str)] = &[
    ("~/(a+)+$", "a"),
    ("~/(a|a)*$", "a"),
    ("~/(a|aa)+$", "a"),
    ("~/(.*a){20}$", "a"),
    ("~/(([a-z])+.)+[A-Z]([a-z])+$", "a"),
    ("~/([a-zA-Z]+)*$", "a"),
    ("~/(x+x+)+y", "x"),
    ("~/\\s*\\w*\\s*\\w*\\s*\\w*\\s*\\w*;$", "a"),
    ("~/(\\p{L}+\\p{N}*)*$", "a"),
];

/// A path that almost matches costs what it is long, not a power of it.
#[tokio::test]
async fn expressions_take_time_in_proportion() {
    let origin = Origin::plain().await;
    for (expression, unit) in SLOW {
        let gateway = Gateway::start(one(&origin.url("/"), |r| r.path(expression))).await;
        let request = format!("GET /{}! HTTP/1.1\r\nHost: a\r\n\r\n", unit.repeat(7000));
        gateway.ask(&request).await; // the first one fills what it remembers
        let begun = Instant::now();
        assert_eq!(gateway.ask(&request).await.status, 404, "{expression}");
        // Unoptimised and under load, it is milliseconds; the others would take years.
        assert!(begun.elapsed() < Duration::from_secs(2), "{expression}: {:?}", begun.elapsed());
    }
}

/// No worker compiles what a client's text beyond ASCII asks of expressions: it was with the
/// table, for all of them.
#[tokio::test]
async fn texts_beyond_ascii_compile_nothing() {
    let origin = Origin::plain().await;
    let config = one(&origin.url("/"), |mut route| {
        for number in 0..1000 {
            route = route.path(&format!(r"~/(\w+|\d-\PL)/{number}$"));
        }
        route
    });
    let gateway = Gateway::start(config).await;
    let begun = Instant::now();
    for (path, status) in [("/%C3%A9t%C3%A9/999", 200), ("/%C3%A9%2D/999", 404), ("/x/999", 200)] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(gateway.ask(&request).await.status, status, "{path}");
    }
    // Unoptimised, to compile them took five seconds.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

/// What would take all memory once compiled is refused with its revision, and at once.
#[test]
fn expressions_have_bounds() {
    let judge = engine::judge(engine::RouterOptions::default());
    let begun = Instant::now();
    let huge = format!("~/{}", "x".repeat(1 << 20));
    let deep = format!("~/{}a{}", "(".repeat(5000), ")".repeat(5000));
    let many =
        format!("~/({})", (0..60_000).map(|n| format!("w{n}")).collect::<Vec<_>>().join("|"));
    for expression in [
        "~/(((a{100}){100}){100}){100}",
        "~/(\\p{L}{1000}){1000}",
        "~/[^a]{100000}{1000}",
        huge.as_str(),
        deep.as_str(),
        many.as_str(),
    ] {
        let said = judge.rehearse(&one("http://127.0.0.1:1/", |r| r.path(expression)));
        let name = &expression[..expression.len().min(40)];
        assert!(said.is_err(), "{name} was taken");
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// Large ones that each are within their bound are not so together.
#[test]
fn expressions_have_bounds_together() {
    let judge = engine::judge(engine::RouterOptions::default());
    let large = |number: usize| format!("~/{number}/((\\w|-x){{1000}}){{12}}");
    let said = |count: usize| {
        judge.rehearse(&one("http://127.0.0.1:1/", |mut route| {
            for number in 0..count {
                route = route.path(&large(number));
            }
            route
        }))
    };
    assert_eq!(said(2), Ok(()));
    let [problem] = said(40).expect_err("too much").try_into().expect("the first says it");
    assert!(problem.message.contains("what the large regular expressions"), "{problem}");
    assert_eq!(said(1), Ok(()));
}
