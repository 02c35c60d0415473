//! Finding the route: ours, Kong's matcher (atc-router) and the fastest router of paths
//! alone (matchit), on the same routes and requests.
//!
//! Each figure includes fetching the request from memory, about 10 ns. atc-router stops
//! at 10,000 routes: it looks at each.

use atc_router::ast::Type;
use atc_router::context::Context;
use atc_router::router::Router;
use atc_router::schema::Schema;
use benches::{REQUESTS, Request, Shape, Traffic, compiled, config, requests, route_id};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main};
use engine::router::RequestView;
use std::hint::black_box;
use std::time::Duration;

const COUNTS: [usize; 3] = [1_000, 10_000, 100_000];

fn ours(criterion: &mut Criterion) {
    let mut group = group(criterion, "find");
    for (shape, count) in shapes_and_counts() {
        let snapshot = compiled(config(count, shape));
        each_traffic(&mut group, shape, count, |request| {
            let (host, path) = (request.host.as_bytes(), request.path.as_bytes());
            snapshot.routes.find(&RequestView::new(host, 80, path, b"GET")).is_some()
        });
    }
}

fn kongs(criterion: &mut Criterion) {
    let mut schema = Schema::default();
    schema.add_field("http.host", Type::String);
    schema.add_field("http.path", Type::String);
    let mut group = group(criterion, "atc-router");
    for (shape, count) in shapes_and_counts().filter(|(_, count)| *count <= 10_000) {
        let mut router = Router::new(&schema);
        for number in 0..count {
            let (host, path) = shape.place(number, count);
            let text = format!(r#"(http.host == "{host}") && (http.path ^= "{path}")"#);
            router.add_matcher(path.len(), route_id(number).uuid(), &text).expect("an expression");
        }
        each_traffic(&mut group, shape, count, |request| {
            let mut context = Context::new(&schema);
            context.add_value("http.host", request.host.clone().into());
            context.add_value("http.path", request.path.clone().into());
            router.execute(&mut context)
        });
    }
}

fn of_paths_alone(criterion: &mut Criterion) {
    let mut group = group(criterion, "matchit");
    for count in COUNTS {
        let mut router = matchit::Router::new();
        for number in 0..count {
            let (_, path) = Shape::OneHost.place(number, count);
            router.insert(format!("{path}/{{*rest}}"), number).expect("a path of its own");
        }
        each_traffic(&mut group, Shape::OneHost, count, |request| router.at(&request.path).is_ok());
    }
}

fn group<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20);
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_millis(700));
    group
}

fn shapes_and_counts() -> impl Iterator<Item = (Shape, usize)> {
    Shape::ALL.into_iter().flat_map(|shape| COUNTS.map(|count| (shape, count)))
}

/// Times one request after the other. All of them must find something.
fn each_traffic(
    group: &mut BenchmarkGroup<'_, WallTime>,
    shape: Shape,
    count: usize,
    find: impl Fn(&Request) -> bool,
) {
    for traffic in Traffic::ALL {
        let requests = requests(count, shape, traffic);
        assert!(requests.iter().take(1000).all(&find), "every request has a route");
        let mut next = (0..REQUESTS).cycle();
        let id = BenchmarkId::new(format!("{shape:?}/{traffic:?}"), count);
        group.bench_function(id, |bencher| {
            bencher.iter(|| {
                let request = next.next().and_then(|at| requests.get(at));
                request.map(|request| find(black_box(request)))
            });
        });
    }
}

criterion_group!(router, ours, kongs, of_paths_alone);
criterion_main!(router);
