//! What the benchmarks measure with: configurations of any size and the requests that
//! go to them. The same every time.

#![forbid(unsafe_code)]

pub mod rest; // an API with parameters in its paths

use engine::router::{Fields, RequestView};
use engine::snapshot::{Snapshot, compile};
use model::entities::{Route, Service};
use model::testing::{revision, route, service};
use model::value::Reference;
use model::{Config, Id};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// What routes differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Hosts, a thousand of them (fewer if there are few routes), and paths.
    ManyHosts,
    /// Paths of one host.
    OneHost,
    /// Paths, and they ask for no host.
    NoHost,
    /// As [`Shape::ManyHosts`], but that one path in twenty is a regular expression.
    Regexes,
    /// As [`Shape::ManyHosts`], but that ten routes share a path and differ in the value of
    /// a header or the method.
    Mixed,
    /// The operations of an API with parameters in its paths, no more and no fewer: a
    /// method and a regular expression each.
    RestApi,
}

/// How requests are spread over routes.
#[derive(Clone, Copy, Debug)]
pub enum Traffic {
    /// Nine of ten requests go to the same thousand routes.
    Hot,
    /// Any route is as likely as any other.
    Uniform,
}

/// What a route serves, and no other of its configuration.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its host, if it asks for one.
    pub host: Option<String>,
    /// Its path, as a route has it.
    pub path: String,
    /// Its `regex_priority`.
    pub priority: usize,
    /// A path it matches.
    pub below: String,
    /// Its method, if it asks for one.
    pub method: Option<&'static str>,
    /// The value of the header [`TENANT`] it asks for, if any.
    pub tenant: Option<String>,
}

/// The header that routes of [`Shape::Mixed`] differ in.
pub const TENANT: &str = "x-tenant";

impl Shape {
    /// All of them.
    pub const ALL: [Shape; 6] = [
        Shape::ManyHosts,
        Shape::OneHost,
        Shape::NoHost,
        Shape::Regexes,
        Shape::Mixed,
        Shape::RestApi,
    ];

    /// How many routes there may be, out of these counts.
    pub fn counts(self, counts: &[usize]) -> Vec<usize> {
        if self == Shape::RestApi { vec![rest::operations().len()] } else { counts.to_vec() }
    }

    /// What a route of `count` serves.
    pub fn place(self, number: usize, count: usize) -> Place {
        const METHODS: [&str; 3] = ["GET", "POST", "PUT"];
        let group = if self == Shape::Mixed { number / 10 } else { number };
        let hosts = (count / 10).clamp(1, 1000);
        let (host, path) = match self {
            Shape::RestApi => return operation(number),
            Shape::NoHost => (None, number),
            Shape::OneHost => (Some("api.example.com".to_owned()), number),
            _ => (Some(format!("h{}.example.com", group % hosts)), group / hosts),
        };
        let path = format!("/api/v1/svc-{path:05}");
        let below = path.clone() + "/users/7";
        let (method, tenant) = match number % 10 {
            _ if self != Shape::Mixed => (None, None),
            method @ 0..3 => (Some(METHODS[method]), None),
            tenant => (None, Some(format!("tenant-{tenant}"))),
        };
        let is_regex = self == Shape::Regexes && number.is_multiple_of(20);
        let path = if is_regex { format!("~{path}/(?<kind>[^/]+)/[0-9]+$") } else { path };
        Place { host, path, priority: 0, below, method, tenant }
    }
}

fn operation(number: usize) -> Place {
    let operation = rest::operations()[number];
    Place {
        host: None,
        path: operation.route_path(),
        priority: operation.priority(),
        below: operation.example(number),
        method: Some(operation.method),
        tenant: None,
    }
}

impl Traffic {
    /// Both.
    pub const ALL: [Traffic; 2] = [Traffic::Hot, Traffic::Uniform];
}

/// How many requests there are of each traffic: enough not to be learnt by heart.
pub const REQUESTS: usize = 1 << 16;

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The host, without a port.
    pub host: String,
    /// The path.
    pub path: String,
    /// The method.
    pub method: &'static str,
    /// Its header [`TENANT`], if it has one.
    pub tenant: Option<String>,
    /// The route it is for.
    pub route: usize,
}

impl Request {
    /// The same in the router's eyes.
    #[inline]
    pub fn view(&self) -> RequestView<'_, Request> {
        let (host, path) = (self.host.as_bytes(), self.path.as_bytes());
        RequestView::new(host, 80, path, self.method.as_bytes()).with_fields(self)
    }
}

impl Fields for Request {
    #[inline]
    fn values<'f>(&'f self, name: &'f [u8]) -> impl Iterator<Item = &'f [u8]> {
        self.tenant.iter().filter(move |_| name == b"x_tenant").map(|value| value.as_bytes())
    }

    fn each(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.tenant.iter().map(|value| (&b"x-tenant"[..], value.as_bytes()))
    }
}

/// [`REQUESTS`] requests to `count` routes.
pub fn requests(count: usize, shape: Shape, traffic: Traffic) -> Vec<Request> {
    const HOT: usize = 1000;
    let mut random = Random(7);
    let mut request = || {
        let is_hot = matches!(traffic, Traffic::Hot) && random.below(10) != 0;
        let route = match random.below(count) {
            // The hot ones lie apart from each other, as anywhere, and are of every sort.
            any if is_hot && count > HOT => {
                let (hot, apart) = (any % HOT, count / HOT);
                hot * apart + hot % apart
            }
            any => any,
        };
        let Place { host, below, method, tenant, .. } = shape.place(route, count);
        let host = host.unwrap_or_else(|| "any.example.com".to_owned());
        Request { host, path: below, method: method.unwrap_or("GET"), tenant, route }
    };
    (0..REQUESTS).map(|_| request()).collect()
}

/// How many routes lead to one service.
const ROUTES_PER_SERVICE: usize = 100;

/// `count` routes and the services they lead to.
pub fn config(count: usize, shape: Shape) -> Config {
    let mut config = Config::default();
    // Through the schema once; a hundred thousand times would take minutes.
    let plain = service("s").build();
    for number in 0..count.div_ceil(ROUTES_PER_SERVICE) {
        config.write(Service { id: service_id(number), name: None, ..plain.clone() });
    }
    let plain = route("r").path("/").build();
    for number in 0..count {
        config.write(numbered(&plain, number, count, shape));
    }
    config
}

/// The snapshot of a configuration, from nothing.
pub fn compiled(config: Config) -> Arc<Snapshot> {
    Arc::new(compile(&revision(1, config), &Snapshot::empty()).expect("fixtures can be served"))
}

/// The id of a numbered service.
pub fn service_id(number: usize) -> Id<Service> {
    Uuid::from_u128(Random(number as u64 ^ 0x5e).wide()).into()
}

/// The id of a numbered route.
pub fn route_id(number: usize) -> Id<Route> {
    Uuid::from_u128(Random(number as u64 ^ 0x12_0000_0000).wide()).into()
}

fn numbered(plain: &Route, number: usize, count: usize, shape: Shape) -> Route {
    let Place { host, path, priority, method, tenant, .. } = shape.place(number, count);
    let header = || TENANT.parse().expect("a header's name");
    Route {
        id: route_id(number),
        name: None,
        hosts: host.map(|host| vec![host.parse().expect("a host")]),
        paths: Some(vec![path.parse().expect("a path")]),
        regex_priority: Some(priority as i64),
        methods: method.map(|method| [method.parse().expect("a method")].into_iter().collect()),
        headers: tenant.map(|tenant| BTreeMap::from([(header(), vec![tenant])])),
        service: Some(Reference { id: service_id(number / ROUTES_PER_SERVICE) }),
        ..plain.clone()
    }
}

/// SplitMix64: numbers that look random and are the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_goes_to_the_route_it_is_for() {
        let each =
            |shape: Shape| shape.counts(&[1, 100, 2_000]).into_iter().map(move |n| (shape, n));
        for (shape, count) in Shape::ALL.into_iter().flat_map(each) {
            let snapshot = compiled(config(count, shape));
            for request in requests(count, shape, Traffic::Uniform).iter().take(2_000) {
                let found = snapshot.routes.find(&request.view()).map(|found| found.route.id);
                assert_eq!(found, Some(route_id(request.route)), "{shape:?} {count} {request:?}");
            }
        }
    }
}
