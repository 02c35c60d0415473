//! Routes and requests made up from few parts, so that most requests match many routes.

#[path = "random.rs"]
mod random; // numbers

use engine::router::{Fields, RequestView, Scheme, split_host};
use model::entities::Route;
use model::testing::route;
pub(crate) use random::Random;
use serde_json::{Map, Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use uuid::Uuid;

const HOSTS: &[&str] = &[
    "a.io",
    "b.io",
    "x.a.io",
    "x.y.a.io",
    "*.a.io",
    "*.y.a.io",
    "*.io",
    "x.*",
    "x.a.*",
    "a.*",
    "a.io:81",
    "x.a.io:81",
    "*.a.io:81",
    "*.io:82",
];
const ASKED_HOSTS: &[&str] = &[
    "",
    "a.io",
    "b.io",
    "x.a.io",
    "x.y.a.io",
    "z.x.y.a.io",
    ".a.io",
    "xa.io",
    "x.b.c",
    "a.io:81",
    "x.a.io:81",
    "x.a.io:82",
    "y.a.io:99999",
    "c.io",
];
const PREFIXES: &[&str] = &[
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/ab",
    "/a/b/c",
    "/b",
    "/b/c",
    "/a/7",
    "/a%2Fb",
    "/é",
    "/é7",
    "/a/path/longer/than/any/node/holds",
    "/a/path/longer/than/other",
];
const REGEXES: &[&str] = &[
    "~/",
    "~/a",
    "~/a$",
    r"~/a/(\d+)",
    "~/a/(?<id>[a-z]+)/c",
    "~/(a|b)/(?<rest>.*)",
    "~/a|/b",
    "~/a/b(/c)?",
    "~/.*c",
    "~/(?i)A/B",
    "~/[ab]+/",
    "~/a/(?:path|b)/",
    "~/é|ü",
    r"~/\w+$",
    "~/(?<id>[^/]+)/b$",
    "~/[^/]+/(?<id>[^/]+)/c",
    r"~/a/\d+$",
    "~/a/[^/]*/c$",
    "~/[^/]+$",
    "~/(?<id>[^#?/]+)/(?<key>[0-9]+)$",
    "~/(?<id>[^#?/]+)/(?<key>[0-9]+)/c",
    r"~/[^/]+/\d+/\w+$",
    "~/[a-z0-9-]+/b/[^/]+$",
    "~/a[0-9]+/[A-Za-z0-9_-]+$",
    "~/a/[0-9]+/[^/]+/[a-f0-9-]+$",
];
const PIECES: &[&str] = &[
    "/",
    "/a",
    "/b",
    "/c",
    "b",
    "/7",
    "/42",
    "7",
    "-",
    "#",
    "_B",
    "/é",
    "%2Fb",
    "/A/B",
    "/path/longer/than/any/node/holds",
];
const METHODS: &[&str] = &["GET", "POST", "PURGE", "LINK"];
/// None of these says something else in lower case, which Kong makes of it.
const HEADERS: &[&str] = &["1", "2", "V1", "abc", "~*^v[0-9]", "~*b", "~*^(a|1)(.*)$"];
const ASKED_VALUES: &[&str] = &["1", "2", "3", "v1", "V1", "V22", "ABC", "b"];
const NAMES: &[&str] = &["x-a", "X_B", "c"];
const SNIS: &[&str] = &["a.io", "b.io.", "*.a.io", "*.io", "x.*"];
const ASKED_SNIS: &[&str] = &["a.io", "b.io", "x.a.io", "x.y.a.io", "c.io"];
const PROTOCOLS: &[&[&str]] =
    &[&["http", "https"], &["http", "https"], &["http"], &["https"], &["grpc", "grpcs"]];
const ASKED_QUERIES: &[&str] = &["", "q=1", "q=2&q=1", "q", "p=1"];

impl Random {
    /// Some of them, `least` at least, each once.
    pub(crate) fn some<T: Copy + PartialEq>(
        &mut self,
        from: &[T],
        least: usize,
        most: usize,
    ) -> Vec<T> {
        let mut chosen = Vec::new();
        for _ in 0..least + self.below(most - least + 1) {
            let one = self.pick(from);
            if !chosen.contains(&one) {
                chosen.push(one);
            }
        }
        chosen
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        Uuid::from_u128(u128::from(self.next()) << 64 | u128::from(self.next()))
    }
}

/// How different the routes of a table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variety {
    /// In everything.
    All,
    /// Only in what splits a list: methods and headers.
    Lists,
}

/// A route that a control plane would admit.
pub(crate) fn some_route(random: &mut Random, id: Uuid, variety: Variety) -> Route {
    let mut fields = Map::new();
    let protocols = if variety == Variety::All { random.pick(PROTOCOLS) } else { PROTOCOLS[0] };
    fields.insert("protocols".to_owned(), json!(protocols));
    let is_grpc = protocols[0] == "grpc";
    fields.insert("strip_path".to_owned(), json!(!is_grpc));
    let mut set = |field: &str, value: Value| fields.insert(field.to_owned(), value);
    match variety {
        Variety::All => {
            if !random.one_in(3) {
                set("hosts", json!(random.some(HOSTS, 1, 3)));
            }
            if !random.one_in(4) {
                set("paths", json!(some_paths(random)));
            }
            if random.one_in(5) {
                set("regex_priority", json!(random.pick(&[1, 5, -1, 100, 8192, -8192])));
            }
            if protocols.contains(&"https") && random.one_in(5) {
                set("snis", json!(random.some(SNIS, 1, 2)));
            }
        }
        Variety::Lists => {
            set("paths", json!(random.some(&["/", "/a", "~/[0-9]+$"], 1, 2)));
        }
    }
    let is_likely = if variety == Variety::Lists { 2 } else { 4 };
    if !is_grpc && random.one_in(is_likely) {
        set("methods", json!(random.some(METHODS, 1, 2)));
    }
    if random.one_in(is_likely) {
        set("headers", some_headers(random));
    }
    if ["hosts", "paths", "methods", "headers", "snis"].iter().all(|f| !fields.contains_key(*f)) {
        fields.insert("paths".to_owned(), json!(["/"]));
    }
    let built = route(&format!("r{id}")).with("id", id.to_string());
    fields.into_iter().fold(built, |route, (field, value)| route.with(&field, value)).build()
}

fn some_paths(random: &mut Random) -> Vec<&'static str> {
    let mut paths = random.some(PREFIXES, 1, 3);
    if random.one_in(3) {
        paths.extend(random.some(REGEXES, 1, 2));
    }
    if random.one_in(4) {
        paths.retain(|path| path.starts_with('~'));
        paths.push(random.pick(REGEXES));
        paths.dedup();
    }
    let start = random.below(paths.len());
    paths.rotate_left(start);
    paths
}

fn some_headers(random: &mut Random) -> Value {
    let names = random.some(NAMES, 1, 2);
    let headers =
        names.into_iter().map(|name| (name.to_owned(), json!(random.some(HEADERS, 1, 2))));
    Value::Object(headers.collect())
}

/// Something a client asks.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) is_https: bool,
    pub(crate) method: &'static str,
    /// The `Host` header.
    pub(crate) host: &'static str,
    pub(crate) path: String,
    pub(crate) query: &'static str,
    pub(crate) sni: Option<&'static str>,
    pub(crate) headers: Headers,
}

/// The port of the listener.
pub(crate) const LISTENER: u16 = 80;

impl Ask {
    pub(crate) fn any(random: &mut Random) -> Ask {
        let path = match random.below(3) {
            0 => random.pick(PREFIXES).to_owned(),
            _ => (0..=random.below(4)).map(|_| random.pick(PIECES)).collect(),
        };
        let is_https = random.one_in(3);
        let headers = (0..random.below(4)).map(|_| {
            let name = random.pick(NAMES).to_ascii_lowercase().replace('-', "_");
            (name, random.pick(ASKED_VALUES).to_owned())
        });
        Ask {
            headers: Headers(headers.collect()),
            is_https,
            method: random.pick(METHODS),
            host: random.pick(ASKED_HOSTS),
            query: random.pick(ASKED_QUERIES),
            path: format!("/{path}").replace("//", "/"),
            sni: (is_https && !random.one_in(4)).then(|| random.pick(ASKED_SNIS)),
        }
    }

    pub(crate) fn view(&self) -> RequestView<'_, Headers> {
        let (host, port) = split_host(self.host.as_bytes(), LISTENER);
        RequestView {
            scheme: if self.is_https { Scheme::Https } else { Scheme::Http },
            method: self.method.as_bytes(),
            host,
            port,
            path: self.path.as_bytes(),
            query: self.query.as_bytes(),
            sni: self.sni.map(str::as_bytes),
            source: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            destination: SocketAddr::from((Ipv4Addr::LOCALHOST, LISTENER)),
            fields: &self.headers,
        }
    }
}

/// Names as the router asks for them, and values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers(pub(crate) Vec<(String, String)>);

impl Fields for Headers {
    fn values<'f>(&'f self, name: &'f [u8]) -> impl Iterator<Item = &'f [u8]> {
        let fields = self.0.iter().filter(move |field| field.0.as_bytes() == name);
        fields.map(|field| field.1.as_bytes())
    }

    fn each(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }
}
