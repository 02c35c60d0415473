//! The language of the `expressions` flavor: its rules one by one, what is said about
//! mistakes, and Kong's own engine as the judge of random expressions.

#[path = "expression/anchors.rs"]
mod anchors;
#[path = "expression/comparison.rs"]
mod comparison;
#[path = "expression/mistakes.rs"]
mod mistakes;
#[path = "expression/oracle.rs"]
mod oracle;
#[path = "expression/random.rs"]
mod random;
#[path = "expression/request.rs"]
mod request;

use engine::router::expression::{Expression, Traffic, rank};
use engine::router::{Regexes, Scheme};
use model::value::Protocol;
use request::Request;

#[test]
fn or_binds_tighter_than_and() {
    let text = r#"http.method == "GET" || http.method == "PUT" && http.path == "/a""#;
    check(text, "GET /a", true);
    check(text, "GET /b", false);
    check(r#"http.path == "/a" && http.method == "GET" || http.method == "PUT""#, "PUT /b", false);
}

#[test]
fn parentheses_group_and_an_exclamation_mark_negates_them() {
    let text = r#"(http.method == "GET" && http.path == "/a") || http.path == "/b""#;
    check(text, "PUT /b", true);
    check(text, "PUT /a", false);
    check(r#"!(http.path ^= "/foo")"#, "GET /xyz", true);
    check(r#"! ( !(http.path ^= "/foo"))"#, "GET /xyz", false);
}

#[test]
fn the_clauses_that_fail_are_told() {
    let text = r#"(http.host == "a.io" && http.path ^= "/v1") && http.method == "GET""#;
    let expression =
        Expression::compile(text, Traffic::Http, &Regexes::default()).expect("an expression");
    let expression = expression.only_over([Protocol::Http, Protocol::Https]);
    let failing = |request: &str| -> Vec<String> {
        let request = Request::parse(request);
        let clauses = expression.clauses(&request.view());
        assert_eq!(clauses.len(), 4);
        let failing = clauses.into_iter().filter(|clause| !clause.holds);
        failing.map(|clause| clause.text.to_owned()).collect()
    };
    assert_eq!(failing("GET a.io/v1/x"), [""; 0]);
    assert_eq!(failing("PUT a.io/v1/x"), [r#"http.method == "GET""#]);
    assert_eq!(failing("GET b.io/v2"), [r#"http.host == "a.io""#, r#"http.path ^= "/v1""#]);
}

#[test]
fn a_field_that_is_not_there_makes_any_predicate_false() {
    check(r#"http.queries.a != "1""#, "GET /", false);
    check(r#"!(http.queries.a != "1")"#, "GET /", true);
    check(r#"tls.sni != "a""#, "GET /", false);
    check(r#"http.host != "a""#, "GET /", false);
    check(r#"http.path.segments.3 != "a""#, "GET /a", false);
}

#[test]
fn all_values_must_pass_unless_any_is_enough() {
    check(r#"http.queries.a == "2""#, "GET /?a=2&a=10", false);
    check(r#"any(http.queries.a) == "2""#, "GET /?a=2&a=10", true);
    check(r#"http.queries.a != "3""#, "GET /?a=2&a=10", true);
    check(r#"any(http.queries.a) != "2""#, "GET /?a=2&a=10", true);
    let twice = Request::parse("GET /").with("x", "A").with("x", "b");
    assert!(matches(r#"http.headers.x ~ "^[Ab]$""#, &twice));
    assert!(matches(r#"any(lower(http.headers.x)) == "a""#, &twice));
    assert!(!matches(r#"lower(http.headers.x) == "a""#, &twice));
}

#[test]
fn header_names_are_found_in_any_case() {
    let request = Request::parse("GET /").with("test_1", "QuoTe");
    assert!(matches(r#"lower(http.headers.Test_1) == "quote""#, &request));
    assert!(!matches(r#"http.headers.test_1 == "quote""#, &request));
}

#[test]
fn an_argument_without_a_value_is_empty() {
    check(r#"http.queries.a == """#, "GET /?a&b=1", true);
    check(r#"http.queries.a == "a b+c""#, "GET /?a=a+b%2bc", true);
    check(r#"http.queries.A == """#, "GET /?a", false);
}

#[test]
fn segments_are_counted_and_joined() {
    check(r#"http.path.segments.1_3 == "b/c/d""#, "GET /a/b/c/d/e", true);
    check(r#"http.path.segments.1_3 == "b/c/d""#, "GET /a/b/c", false);
    check(r#"http.path.segments.0 == "a" && http.path.segments.len == 1"#, "GET /a/", true);
    check("http.path.segments.len == 0", "GET /", true);
}

#[test]
fn numbers_are_written_in_four_ways() {
    for port in ["80", "0x50", "0120"] {
        check(&format!("net.dst.port == {port}"), "GET /", true);
    }
    check("net.dst.port > -1 && net.dst.port >= 80 && net.dst.port <= 80", "GET /", true);
    check("net.dst.port < 80 || net.dst.port != 80", "GET /", false);
}

#[test]
fn addresses_are_in_networks_of_their_family() {
    check("net.src.ip in 10.0.0.0/8 && net.src.ip not in 10.9.0.0/16", "GET /", true);
    check("net.src.ip == 10.1.2.3 && net.dst.ip != 10.1.2.3", "GET /", true);
    check("net.src.ip in ::/0", "GET /", false);
    check("net.src.ip not in ::/0", "GET /", true);
    check("net.src.ip not \n in ::/0", "GET /", true);
    let mapped = "[::ffff:10.1.2.3]:1".parse().unwrap();
    assert!(matches("net.src.ip in 10.0.0.0/8", &Request { source: mapped, ..Request::default() }));
}

#[test]
fn the_old_name_of_the_port_is_known_in_comparisons() {
    check(r#"http.host == "a" && net.port==80"#, "GET a/", true);
    assert!(compile("net.port == 80").is_dated() && !compile("net.dst.port == 80").is_dated());
    assert!(
        Expression::compile("any(net.port) == 80", Traffic::Http, &Regexes::default()).is_err()
    );
}

#[test]
fn strings_are_quoted_or_raw() {
    check(r##"http.path ~ r#"^/\d+"$"#"##, "GET /12\"", true);
    check(r#"http.path == "/a\\b\"\n\t\r""#, "GET /a\\b\"\n\t\r", true);
}

#[test]
fn what_is_not_text_matches_nothing() {
    let request = Request::parse("GET /").with("x", [0xFF]);
    assert!(!matches(r#"http.headers.x != "a""#, &request));
    assert!(!matches(r#"!(http.headers.x == "a")"#, &request));
    assert!(matches(r#"http.path == "/" || http.headers.x == "a""#, &request));
    check(r#"!(http.host == "a")"#, "GET ä.com/", false);
    check(r#"!(http.queries.a == "a")"#, "GET /?a=%FF", false);
}

#[test]
fn streams_have_fields_of_their_own() {
    let text = r#"tls.sni == "a.com" && net.dst.port == 8000 && net.protocol == "tls""#;
    let expression = Expression::compile(text, Traffic::Stream, &Regexes::default()).unwrap();
    let sni = Some("a.com".to_owned());
    let request = Request { scheme: Scheme::Tls, sni, port: None, ..Request::default() };
    assert!(expression.find(&request.view()).is_some());
    let mistakes = Expression::compile(r#"http.path == "/""#, Traffic::Stream, &Regexes::default())
        .unwrap_err();
    assert_eq!(mistakes[0].problem.to_string(), "`http.path` is not a field of streams");
}

/// Kong takes what was last found in the path for a prefix, wherever it was found.
#[test]
fn the_text_last_found_in_the_path_is_what_is_stripped() {
    let recorded = |text: &str| {
        let found = compile(text).find(&Request::parse("GET /foo/bar").view());
        found.expect(text).prefix_len
    };
    assert_eq!(recorded(r#"http.path ^= "/foo""#), 4);
    assert_eq!(recorded(r#"http.path == "/foo/bar""#), 8);
    assert_eq!(recorded(r#"http.path =^ "bar""#), 3);
    assert_eq!(recorded(r#"http.path ~ "o+""#), 2);
    assert_eq!(recorded(r#"http.path contains "foo""#), 0);
    assert_eq!(recorded(r#"http.path != "/""#), 0);
    assert_eq!(recorded(r#"http.path ^= "/f" && http.path ^= "/fo""#), 3);
    assert_eq!(recorded(r#"http.path ^= "/f" || http.path ^= "/fo""#), 2);
    assert_eq!(
        recorded(r#"(http.path ^= "/f" && http.method == "PUT") || http.method == "GET""#),
        2
    );
    assert_eq!(recorded(r#"!(http.path ^= "/f") || http.method == "GET""#), 2);
    assert_eq!(recorded(r#"http.path.segments.0 == "foo""#), 0);
}

#[test]
fn groups_of_all_regular_expressions_are_captured_together() {
    let request = Request::parse("GET /foo/bar").with("x", "12-34");
    let text = r##"http.path ~ r#"^/(?<first>\w+)/(\w+)"# && http.headers.x ~ r#"(\d+)-"#"##;
    let captures = compile(text).captures(&request.view()).unwrap();
    let numbered: Vec<_> = captures.numbered.iter().map(Option::as_deref).collect();
    assert_eq!(numbered, [Some("12-"), Some("12"), Some("bar")]);
    assert_eq!(captures.named["first"], "foo");
}

#[test]
fn without_a_group_that_took_part_there_are_no_captures() {
    let captures =
        |text: &str| compile(text).captures(&Request::parse("GET /foo").view()).is_some();
    assert!(!captures(r#"http.path ~ "^/foo""#));
    assert!(!captures(r#"http.path ~ "^/foo(/bar)?""#));
    assert!(!captures(r#"http.path ~ "^/(bar)""#));
    assert!(captures(r#"http.path ~ "^/foo(/bar)?()""#));
}

#[test]
fn expressions_rank_before_all_other_routes() {
    assert_eq!(rank(0), 0xFF00_0000_0000_0000);
    assert_eq!(rank((1 << 46) - 1), 0xFF00_3FFF_FFFF_FFFF);
}

#[test]
fn protocols_are_a_clause_of_the_expression() {
    use Protocol::*;
    over(&[Http, Https], r#"net.protocol == "http" || net.protocol == "https""#);
    over(&[Http], r#"net.protocol == "http""#);
    over(&[Grpc, Grpcs], r#"net.protocol == "http" || net.protocol == "https""#);
    over(&[Grpcs], r#"net.protocol == "https""#);
    over(
        &[Tcp, Tls, Udp],
        r#"net.protocol == "tcp" || net.protocol == "tls" || net.protocol == "udp""#,
    );
    for protocol in [Https, Tls, TlsPassthrough] {
        over(&[protocol], "");
    }
}

#[track_caller]
fn over(protocols: &[Protocol], clause: &str) {
    let text = r#"net.src.port > 1 && net.src.port > 2 || net.src.port > 3"#;
    let traffic = Traffic::over(protocols[0]);
    let expression = Expression::compile(text, traffic, &Regexes::default())
        .expect(text)
        .only_over(protocols.to_owned());
    let clause = if clause.is_empty() { "".to_owned() } else { format!(" && ({clause})") };
    assert_eq!(expression.text(), text.to_owned() + &clause);
    let written =
        Expression::compile(expression.text(), traffic, &Regexes::default()).expect("the clause");
    for scheme in [Scheme::Http, Scheme::Https, Scheme::Tcp, Scheme::Tls, Scheme::Udp] {
        let request = Request { scheme, ..Request::default() };
        assert_eq!(expression.find(&request.view()), written.find(&request.view()), "{scheme:?}");
    }
}

#[track_caller]
fn check(text: &str, request: &str, expected: bool) {
    assert_eq!(matches(text, &Request::parse(request)), expected, "{text}\n{request}");
}

#[track_caller]
fn matches(text: &str, request: &Request) -> bool {
    compile(text).find(&request.view()).is_some()
}

#[track_caller]
pub(crate) fn compile(text: &str) -> Expression {
    Expression::compile(text, Traffic::Http, &Regexes::default())
        .unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}
