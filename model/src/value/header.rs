//! Names of headers and of cookies.

use crate::schema::Invalid;

text! {
    /// The name of a header, in the case it was written. Compare without case.
    HeaderName, admit
}

text! {
    /// A header a route can match on: any but `Host`, which has its own field.
    RouteHeaderName, admit_for_route
}

text! {
    /// The name of a cookie: a token (RFC 6265 §4.1.1).
    CookieName, admit_cookie
}

fn admit_cookie(name: &str) -> Result<(), Invalid> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !name.is_empty() && name.bytes().all(is_token) {
        return Ok(());
    }
    Err(Invalid(format!(
        "bad cookie name '{name}', allowed characters are those of a token: A-Z, a-z, 0-9 and !#$%&'*+-.^_`|~"
    )))
}

fn admit(name: &str) -> Result<(), Invalid> {
    if name.is_empty() {
        return Err(Invalid::new("no header name provided"));
    }
    if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        return Ok(());
    }
    Err(Invalid(format!(
        "bad header name '{name}', allowed characters are A-Z, a-z, 0-9, '_', and '-'"
    )))
}

fn admit_for_route(name: &str) -> Result<(), Invalid> {
    if name.eq_ignore_ascii_case("host") {
        return Err(Invalid::new(
            "cannot contain 'host' header, which must be specified in the 'hosts' attribute",
        ));
    }
    admit(name)
}
