//! What the benchmarks measure with: configurations of any size and the requests that
//! go to them. The same every time.

#![forbid(unsafe_code)]

use engine::snapshot::{Snapshot, compile};
use model::entities::{Route, Service};
use model::testing::{revision, route, service};
use model::value::Reference;
use model::{Config, Id};
use std::sync::Arc;
use uuid::Uuid;

/// How routes are spread over hosts.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A thousand hosts share the paths among them; fewer if there are few routes.
    ManyHosts,
    /// All paths are one host's.
    OneHost,
}

/// How requests are spread over routes.
#[derive(Clone, Copy, Debug)]
pub enum Traffic {
    /// Nine of ten requests go to the same thousand routes.
    Hot,
    /// Any route is as likely as any other.
    Uniform,
}

impl Shape {
    /// Both.
    pub const ALL: [Shape; 2] = [Shape::ManyHosts, Shape::OneHost];

    /// The host and path of a route. No two of `count` have the same.
    pub fn place(self, number: usize, count: usize) -> (String, String) {
        match self {
            Shape::ManyHosts => {
                let hosts = (count / 10).clamp(1, 1000);
                let path = format!("/api/v1/svc-{:05}", number / hosts);
                (format!("h{}.example.com", number % hosts), path)
            }
            Shape::OneHost => ("api.example.com".to_owned(), format!("/api/v1/svc-{number:05}")),
        }
    }
}

impl Traffic {
    /// Both.
    pub const ALL: [Traffic; 2] = [Traffic::Hot, Traffic::Uniform];
}

/// How many requests there are of each traffic: enough not to be learnt by heart.
pub const REQUESTS: usize = 1 << 16;

/// A host and a path below the prefix of the route it is for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The host, without a port.
    pub host: String,
    /// The path.
    pub path: String,
    /// The route it is for.
    pub route: usize,
}

/// [`REQUESTS`] requests to `count` routes.
pub fn requests(count: usize, shape: Shape, traffic: Traffic) -> Vec<Request> {
    const HOT: usize = 1000;
    let mut random = Random(7);
    let mut request = || {
        let is_hot = matches!(traffic, Traffic::Hot) && random.below(10) != 0;
        let route = match random.below(count) {
            // The hot ones lie apart from each other, as anywhere.
            any if is_hot && count > HOT => any % HOT * (count / HOT),
            any => any,
        };
        let (host, path) = shape.place(route, count);
        Request { host, path: path + "/users/7", route }
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
    let (host, path) = shape.place(number, count);
    Route {
        id: route_id(number),
        name: None,
        hosts: Some(vec![host.parse().expect("a host")]),
        paths: Some(vec![path.parse().expect("a path")]),
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
