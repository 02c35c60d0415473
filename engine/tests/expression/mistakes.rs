//! What is said about what is wrong.

use crate::compile;
use engine::router::Regexes;
use engine::router::expression::{Expression, Traffic};

#[test]
fn a_syntax_error_says_where_and_what_was_expected() {
    refuse("", &["1:1 found the end, expected a field, `(` or `!(`"]);
    refuse("http.path", &["1:10 found the end, expected an operator such as `==`"]);
    refuse("http.path = \"/\"", &["1:11 found `=`, expected an operator such as `==`"]);
    refuse(
        "http.path ==\n  /a",
        &["2:3 found `/`, expected a string, a number, an IP address or a network"],
    );
    refuse("http.path == \"/\" and x", &["1:18 found `and`, expected `&&`, `||` or the end"]);
    refuse("(http.path == \"/\"", &["1:18 found the end, expected `&&`, `||` or `)`"]);
    refuse(
        "!http.path == \"/\"",
        &["1:2 found `http.path`, expected `(`, as only what is in parentheses is negated"],
    );
    refuse("net.src.ip not 1", &["1:16 found `1`, expected `in`"]);
    refuse("lower(http.path == \"/\"", &["1:17 found `=`, expected `)`"]);
    refuse(
        "http.path == \"/",
        &["1:14 the string that starts here does not end; a `\"` is missing"],
    );
    refuse(
        "http.path == r#\"/\"",
        &["1:14 the string that starts here does not end; a `\"#` is missing"],
    );
    refuse(
        "http.path ~ \"\\d\"",
        &[
            "1:14 `\\d` means nothing in a string; write `\\\\d` for the two characters, or the whole string as r#\"…\"#",
        ],
    );
}

#[test]
fn a_header_with_a_hyphen_is_told_apart() {
    let said = ["1:15 names of headers are written with `_` for `-`"];
    refuse("http.headers.x-y == \"\"", &said);
    refuse("http.path-y == \"\"", &["1:10 found `-`, expected an operator such as `==`"]);
}

#[test]
fn all_other_mistakes_are_told_together() {
    refuse(
        "http.pth == \"/\" && upper(http.path) == 1 &&\nnet.src.ip in 10.0.0.1/8 || http.path ~ \"(\"",
        &[
            "1:1 `http.pth` is not a field of HTTP requests",
            "1:20 `upper` is not a function; there are `lower` and `any`",
            "1:40 `http.path` == takes a string, found a number",
            "2:15 `10.0.0.1/8` has bits set behind its prefix; the network is written `10.0.0.0/8`",
            "2:41 this regular expression is not well-formed: unclosed group",
        ],
    );
}

#[test]
fn a_flood_of_mistakes_is_cut() {
    let many = vec!["x == 1"; 30_000].join("&&");
    assert_eq!(
        Expression::compile(&many, Traffic::Http, &Regexes::default()).expect_err("mistakes").len(),
        20
    );
}

#[test]
fn a_regular_expression_is_bounded() {
    let large = |times| format!(r##"http.path ~ r#"(a|\w{{{times}}}){{1000}}"#"##);
    compile(&large(2));
    let one = Expression::compile(&large(1000), Traffic::Http, &Regexes::default());
    let one = one.expect_err("a mistake")[0].to_string();
    assert!(one.starts_with("line 1, column 13: this regular expression takes more than"), "{one}");
}

#[test]
fn what_is_not_in_the_dialect_is_named_with_what_to_write_instead() {
    let said = |text: &str| {
        let mistakes = Expression::compile(text, Traffic::Http, &Regexes::default());
        mistakes.expect_err("a mistake")[0].to_string()
    };
    let ahead = said(r#"http.path ~ "^/(?!admin)""#);
    assert!(ahead.starts_with("line 1, column 13: this regular expression looks around"));
    assert!(ahead.contains("a route of their own with a higher `regex_priority` or `priority`"));
    assert!(said(r##"http.path ~ r#"(a)\1"#"##).contains("refers back to a group"));
}

#[test]
fn types_must_fit() {
    refuse("net.src.port ^= 1", &["1:14 `^=` is for strings, and `net.src.port` is a number"]);
    refuse("http.path > \"/\"", &["1:11 `>` is for numbers, and `http.path` is a string"]);
    refuse(
        "http.path in 10.0.0.0/8",
        &["1:11 `in` is for IP addresses, and `http.path` is a string"],
    );
    refuse(
        "net.src.ip in 10.0.0.1",
        &["1:15 `net.src.ip` in takes a network, found an IP address"],
    );
    refuse(
        "net.src.ip == 10.0.0.0/8",
        &["1:15 `net.src.ip` == takes an IP address, found a network"],
    );
    refuse(
        "lower(net.src.port) == 1",
        &["1:7 `lower` is for strings, and `net.src.port` is a number"],
    );
}

#[test]
fn values_must_be_what_they_look_like() {
    refuse(
        "net.src.port == 9223372036854775808",
        &["1:17 `9223372036854775808` does not fit into 64 bits"],
    );
    refuse("net.src.ip == 1.2.3.256", &["1:15 `1.2.3.256` is not an IP address"]);
    refuse(
        "net.src.ip in ::/129",
        &["1:15 `::/129` is not a network such as 10.0.0.0/8 or fd00::/8"],
    );
}

#[test]
fn segments_are_numbers_without_zeros_in_front_in_order() {
    refuse(
        "http.path.segments.01 == \"\"",
        &["1:1 `http.path.segments.01` is not a field of HTTP requests"],
    );
    refuse(
        "http.path.segments.1_0 == \"\"",
        &["1:1 `http.path.segments.1_0` is not a field of HTTP requests"],
    );
    refuse(
        "http.path.segments.2_1 == \"\"",
        &["1:1 the first segment of `http.path.segments.2_1` must come before the last"],
    );
}

#[test]
fn size_and_depth_are_bounded() {
    let nested = |depth| format!("{}net.src.port > 0{}", "(".repeat(depth), ")".repeat(depth));
    compile(&nested(64));
    refuse(&nested(65), &["1:66 parentheses are nested more than 64 deep"]);
    refuse(&nested(100_000), &["1:66 parentheses are nested more than 64 deep"]);
    let many = vec!["net.src.port > 0"; 10_000].join(" && ");
    compile(&many);
    let long = " ".repeat(262_145);
    refuse(&long, &["1:1 an expression has at most 262144 bytes, this has 262145"]);
    refuse(&"lower(".repeat(40_000), &["1:240001 found the end, expected a field"]);
}

/// Mistakes as `line:column problem`.
#[track_caller]
fn refuse(text: &str, expected: &[&str]) {
    let mistakes =
        Expression::compile(text, Traffic::Http, &Regexes::default()).expect_err("a mistake");
    let shown = mistakes.iter().map(|m| format!("{}:{} {}", m.line, m.column, m.problem));
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}
