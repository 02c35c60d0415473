//! Who is let in, as a table.

use super::*;

fn guard(origins: &[&str]) -> (Guard, [String; 2]) {
    let all = NewToken::make("ci", Role::Admin).unwrap();
    let eyes = NewToken::make("eyes", Role::ReadOnly).unwrap();
    let tokens = Tokens::parse(&format!("{}\n{}", all.line, eyes.line)).ok().map(Arc::new);
    let origins = Arc::new(Origins::of(origins.iter().copied()).unwrap());
    (Guard::new(Rules { tokens, ..Rules::default() }, origins), [all.secret, eyes.secret])
}

fn request(
    method: &str,
    path: &str,
    credential: Credential,
    headers: &[(&str, &str)],
) -> Request<()> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let peer = Peer { ip: IpAddr::from([10, 0, 0, 7]), credential };
    request.extension(peer).body(()).unwrap()
}

fn told(guard: &Guard, request: &Request<()>) -> Result<String, Denied> {
    let caller = guard.admit(request)?.unwrap();
    assert_eq!(caller.from, IpAddr::from([10, 0, 0, 7]));
    Ok(caller.who.to_string())
}

#[test]
fn without_tokens_whoever_reaches_it_is_let_in() {
    let guard = Guard::default();
    let plain = |headers| request("PUT", "/routes/a", Credential::NotAsked, headers);
    assert_eq!(told(&guard, &plain(&[])), Ok("10.0.0.7".to_owned()));
    assert_eq!(told(&guard, &plain(&[("authorization", "Bearer x")])), Ok("10.0.0.7".to_owned()));
    assert_eq!(told(&guard, &plain(&[("origin", "https://a.test")])), Ok("10.0.0.7".to_owned()));
}

#[test]
fn with_tokens_only_who_has_one() {
    let (guard, [all, eyes]) = guard(&[]);
    let bearer = |token: &str| format!("Bearer {token}");
    let (all_bearer, eyes_bearer) = (bearer(&all), bearer(&eyes));
    let lower = format!("bEARER  {all}");
    let basic = format!("Basic {all}");
    let no = |shown| Err(Denied::Unauthorized { shown });
    for (method, path, header, value, expected) in [
        ("GET", "/", "authorization", all_bearer.as_str(), Ok("ci")),
        ("GET", "/", "authorization", &lower, Ok("ci")),
        ("GET", "/", "kong-admin-token", &all, Ok("ci")),
        ("DELETE", "/routes/a", "authorization", &all_bearer, Ok("ci")),
        ("GET", "/", "authorization", &eyes_bearer, Ok("eyes")),
        ("HEAD", "/", "authorization", &eyes_bearer, Ok("eyes")),
        ("POST", "/debug/route", "authorization", &eyes_bearer, Ok("eyes")),
        ("POST", "/schemas/routes/validate", "authorization", &eyes_bearer, Ok("eyes")),
        ("POST", "/routes", "authorization", &eyes_bearer, Err(Denied::ReadOnly)),
        (
            "PUT",
            "/debug/node/log-level/debug",
            "authorization",
            &eyes_bearer,
            Err(Denied::ReadOnly),
        ),
        ("POST", "/schemas/routes", "authorization", &eyes_bearer, Err(Denied::ReadOnly)),
        ("BREW", "/", "authorization", &eyes_bearer, Err(Denied::ReadOnly)),
        ("GET", "/", "x-other", &all, no(false)),
        ("GET", "/nowhere", "x-other", "", no(false)),
        ("GET", "/", "authorization", &basic, no(false)),
        ("GET", "/", "authorization", "Bearer", no(false)),
        ("GET", "/", "authorization", "Bearer   ", no(false)),
        ("GET", "/", "authorization", "Bearer gat_wrong", no(true)),
        ("OPTIONS", "/routes", "authorization", "Bearer gat_wrong", no(true)),
        ("OPTIONS", "/routes", "origin", "https://a.test", Ok("10.0.0.7")),
    ] {
        let request = request(method, path, Credential::NotAsked, &[(header, value)]);
        assert_eq!(told(&guard, &request), expected.map(str::to_owned), "{method} {path} {header}");
    }
    let (unauthorized, forbidden) = guard.refused();
    assert_eq!((unauthorized, forbidden), (7, 4));
}

#[test]
fn a_certificate_is_as_good_as_a_token_that_allows_everything() {
    let trusted = || Credential::Trusted("ops".into());
    for guard in [Guard::default(), guard(&[]).0] {
        assert_eq!(told(&guard, &request("PUT", "/a", trusted(), &[])), Ok("ops".to_owned()));
        let bad = request("GET", "/", Credential::Untrusted("expired".into()), &[]);
        assert_eq!(told(&guard, &bad), Err(Denied::BadCertificate("expired".into())));
        let none = request("GET", "/", Credential::Missing { required: true }, &[]);
        assert_eq!(told(&guard, &none), Err(Denied::NoCertificate));
    }
    let none = request("GET", "/", Credential::Missing { required: false }, &[]);
    assert_eq!(told(&Guard::default(), &none), Ok("10.0.0.7".to_owned()));
    let (guard, [_, eyes]) = guard(&[]);
    assert_eq!(told(&guard, &none), Err(Denied::Unauthorized { shown: false }));
    let bearer = format!("Bearer {eyes}");
    let both = request("PUT", "/a", trusted(), &[("authorization", &bearer)]);
    assert_eq!(told(&guard, &both), Err(Denied::ReadOnly), "the token counts");
}

#[test]
fn a_page_of_others_cannot_use_its_readers_certificate() {
    let (guard, _) = guard(&["https://manager.test"]);
    for (origin, fits) in [
        ("https://manager.test", true),
        ("https://cp.test:8444", true),
        ("http://cp.test:8444", false),
        ("https://evil.test", false),
        ("null", false),
    ] {
        let headers = [("host", "cp.test:8444"), ("origin", origin)];
        let request = request("POST", "/routes", Credential::Trusted("ops".into()), &headers);
        let expected = if fits { Ok("ops".to_owned()) } else { Err(Denied::ForeignPage) };
        assert_eq!(told(&guard, &request), expected, "{origin}");
    }
}

#[test]
fn tokens_can_be_taken_away() {
    let (guard, [all, _]) = guard(&[]);
    let bearer = format!("Bearer {all}");
    let request = request("GET", "/", Credential::NotAsked, &[("authorization", &bearer)]);
    assert!(told(&guard, &request).is_ok());
    let other = NewToken::make("other", Role::Admin).unwrap();
    guard
        .renew(Rules { tokens: Tokens::parse(&other.line).ok().map(Arc::new), ..Rules::default() });
    assert_eq!(told(&guard, &request), Err(Denied::Unauthorized { shown: true }));
}
