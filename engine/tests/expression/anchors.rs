//! Where a table is told to look for an expression. That it finds it there is asked of
//! random ones, in `comparison.rs`.

use crate::compile;
use engine::router::expression::{Anchor, HeaderAnchor, HostAnchor, PathAnchor};

#[test]
fn anchors_are_what_every_match_has() {
    anchored(
        r#"http.host == "A.com" && http.path ^= "/v1" && http.method == "GET" && net.src.port > 1"#,
        "GET a.com /v1*",
    );
    anchored(r#"http.path == "/a" || http.path ^= "/b""#, "/a\n/b*");
    anchored(
        r#"(http.host == "a" || http.host == "b") && (http.path == "/1" || http.path == "/2")"#,
        "a /1\na /2\nb /1\nb /2",
    );
    anchored(r#"http.path == "/a" || net.src.port > 1"#, "");
    anchored(r#"http.host =^ ".a.com" && http.host =^ ".com""#, "*.a.com");
    anchored(r#"http.host =^ "a.com""#, "*a.com");
    anchored(r#"http.host ^= "Api.a""#, "api.a*");
    anchored(r#"lower(http.host) == "k.com" && lower(http.path) == "/a""#, "k.com");
    anchored(r#"http.path.segments.0_1 == "a/b""#, "/a/b*");
    anchored(r#"any(http.headers.X) == "A""#, "x:a");
    anchored(r#"lower(http.headers.x) == "a" && lower(http.headers.y) == "k""#, "x:a");
    anchored(r#"lower(http.headers.x) == "k""#, "");
    anchored(r##"http.path ~ r#"^/(foo|bar)/\d+"#"##, "/bar/*\n/foo/*");
    anchored(r#"http.path ~ "^/foo$""#, "/foo*");
    anchored(r#"http.path ~ "/foo""#, "");
    anchored(r#"http.path ~ "^/a|/b""#, "");
}

#[test]
fn what_contradicts_itself_has_no_anchors() {
    let none = |text: &str| assert_eq!(compile(text).anchors(), [], "{text}");
    none(r#"http.path == "/a" && http.path == "/b""#);
    none(r#"http.path ^= "/a" && http.path ^= "/b""#);
    none(r#"http.method == "GET" && http.method == "PUT""#);
    anchored(r#"(http.path == "/a" || http.path == "/b") && http.path ^= "/b""#, "/b");
}

#[test]
fn negation_is_distributed() {
    anchored(r#"!(!(http.path == "/a") || http.method != "GET")"#, "/a");
    anchored(r#"!(!(http.path == "/a") && !(http.path == "/b"))"#, "/a\n/b");
    anchored(r#"!(http.path == "/a")"#, "");
}

#[test]
fn too_many_anchors_say_less() {
    let any = |field: &str, count: usize| {
        let each = (0..count).map(|number| format!("{field} == \"/{number:03}\""));
        format!("({})", each.collect::<Vec<_>>().join(" || "))
    };
    assert_eq!(compile(&any("http.path", 256)).anchors().len(), 256);
    anchored(&any("http.path", 257), "");
    let both = format!("{} && {}", any("http.path", 200), any("http.method", 2));
    let anchors = compile(&both).anchors();
    assert!(anchors.len() == 200 && anchors.iter().all(|anchor| anchor.method.is_none()));
}

#[track_caller]
fn anchored(text: &str, expected: &str) {
    let anchors: Vec<String> = compile(text).anchors().iter().map(shown).collect();
    assert_eq!(anchors.join("\n"), expected, "{text}");
}

fn shown(anchor: &Anchor) -> String {
    let host = match &anchor.host {
        HostAnchor::Exact(host) => Some(host.to_string()),
        HostAnchor::Suffix(end) => Some(format!("*{end}")),
        HostAnchor::Prefix(start) => Some(format!("{start}*")),
        HostAnchor::Any => None,
    };
    let path = match &anchor.path {
        PathAnchor::Exact(path) => Some(path.to_string()),
        PathAnchor::Prefix(start) => Some(format!("{start}*")),
        PathAnchor::Any => None,
    };
    let header = |HeaderAnchor { name, value }: &HeaderAnchor| format!("{name}:{value}");
    let method = anchor.method.as_ref().map(ToString::to_string);
    let header = anchor.header.as_ref().map(header);
    [method, host, path, header].into_iter().flatten().collect::<Vec<_>>().join(" ")
}
