//! Paths that one reader takes for another: what is routed is what is sent.

use super::support::{Gateway, Origin, config};
use model::testing::{route, service};

/// A public service and one that is not, side by side, each with its own origin.
async fn gateway() -> (Origin, Origin, Gateway) {
    let (open, closed) = (Origin::plain().await, Origin::plain().await);
    let public = service("public").url(&open.url("")).build();
    let private = service("private").url(&closed.url("")).build();
    let to_public = route("public").to(&public).path("/public").with("strip_path", false).build();
    let to_private =
        route("private").to(&private).path("/private").with("strip_path", false).build();
    let gateway = Gateway::start(config([public, private], [to_public, to_private])).await;
    (open, closed, gateway)
}

/// What each request target comes to: its status, and the path its origin sees.
const TARGETS: &[(&str, u16, &str)] = &[
    ("/public/a", 200, "public /public/a"),
    // Dots and slashes are resolved before a route is looked for.
    ("/public/../private/a", 200, "private /private/a"),
    ("/public/%2e%2e/private/a", 200, "private /private/a"),
    ("/public/%2E./private/a", 200, "private /private/a"),
    ("/public/./a", 200, "public /public/a"),
    ("//public//a", 200, "public /public/a"),
    ("/./public/a", 200, "public /public/a"),
    ("/public/../../../private", 200, "private /private"),
    ("/public/..", 404, ""),
    // A slash in disguise is no slash, to us or to what is sent on.
    ("/public%2fa", 200, "public /public%2Fa"),
    ("/public/..%2fprivate", 200, "public /public/..%2Fprivate"),
    ("/public%2f..%2fprivate", 200, "public /public%2F..%2Fprivate"),
    // Neither is a backslash, in the open or in disguise.
    ("/public\\..\\private", 200, "public /public%5C..%5Cprivate"),
    ("/public/..\\private", 200, "public /public/..%5Cprivate"),
    ("/public/..%5cprivate", 200, "public /public/..%5Cprivate"),
    // Parameters of segments are bytes like any others: `..;` is no `..`.
    ("/public/..;/private", 200, "public /public/..;/private"),
    ("/public;/../private", 200, "private /private"),
    // What is disguised twice is still disguised after one look.
    ("/public/%252e%252e/private", 200, "public /public/%252e%252e/private"),
    // Longer spellings of `.` and `/` than UTF-8 allows are nothing that a route could match.
    ("/public/%c0%ae%c0%ae/private", 404, ""),
    ("/public/..%c0%afprivate", 404, ""),
    ("/public/..%ef%bc%8fprivate", 200, "public /public/..%EF%BC%8Fprivate"),
    // What could end a string, a line or the request is refused.
    ("/public/%00", 400, ""),
    ("/public/%", 400, ""),
    ("/public/%2", 400, ""),
    ("/public/%zz", 400, ""),
    ("/public/%u002e", 400, ""),
    ("/public/#/../private", 400, ""),
    // A query is not a path.
    ("/public?/../private", 200, "public /public?/../private"),
    ("/public/a?%2e%2e/%00", 200, "public /public/a?%2e%2e/%00"),
    ("http://a.test/public/../private", 200, "private /private"),
];

#[tokio::test]
async fn what_is_routed_is_what_is_sent() {
    let (open, closed, gateway) = gateway().await;
    let mut wrong = Vec::new();
    for &(target, status, expected) in TARGETS {
        let (public, private) = (open.seen().len(), closed.seen().len());
        let response = gateway.ask(&format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await;
        let path = |origin: &Origin| origin.last().line.split(' ').nth(1).unwrap().to_owned();
        let seen = match (open.seen().len() - public, closed.seen().len() - private) {
            (1, 0) => format!("public {}", path(&open)),
            (0, 1) => format!("private {}", path(&closed)),
            (0, 0) => String::new(),
            _ => "both".to_owned(),
        };
        if (response.status, seen.as_str()) != (status, expected) {
            wrong
                .push(format!("{target}: {} {seen:?}, not {status} {expected:?}", response.status));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
