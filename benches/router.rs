//! Finding the route: ours, Kong's matcher (atc-router) and the fastest router of paths
//! alone (matchit), on the same routes and requests.
//!
//! Each figure includes fetching the request from memory, about 10 ns. atc-router looks at
//! each route, so at 100,000 it gets few requests, which is said by a wide interval.
//! `tail` prints percentiles of single requests.

use atc_router::ast::Type;
use atc_router::context::Context;
use atc_router::router::Router;
use atc_router::schema::Schema;
use benches::{
    Place, REQUESTS, Request, Shape, Traffic, compiled, config, requests, rest, route_id,
};
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main,
};
use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

const COUNTS: [usize; 4] = [1, 100, 10_000, 100_000];

fn ours(criterion: &mut Criterion) {
    let mut group = group(criterion, "find");
    for (shape, count) in shapes_and_counts() {
        let snapshot = compiled(config(count, shape));
        each_traffic(&mut group, shape, count, |request| {
            snapshot.routes.find(&request.view()).is_some()
        });
    }
}

fn kongs(criterion: &mut Criterion) {
    let mut schema = Schema::default();
    for field in ["http.host", "http.path", "http.method", "http.headers.*"] {
        schema.add_field(field, Type::String);
    }
    let mut group = group(criterion, "atc-router");
    for (shape, count) in shapes_and_counts() {
        if count > 10_000 {
            // 14 ms a request: ten samples of some.
            group.sample_size(10).sampling_mode(SamplingMode::Flat);
        } else {
            group.sample_size(20).sampling_mode(SamplingMode::Auto);
        }
        let mut router = Router::new(&schema);
        for number in 0..count {
            let place = shape.place(number, count);
            let (rank, id) = (1 + place.priority, route_id(number).uuid());
            router.add_matcher(rank, id, &expression(&place)).expect("an expression");
        }
        each_traffic(&mut group, shape, count, |request| {
            let mut context = Context::new(&schema);
            context.add_value("http.host", request.host.clone().into());
            context.add_value("http.path", request.path.clone().into());
            context.add_value("http.method", request.method.to_owned().into());
            if let Some(tenant) = &request.tenant {
                context.add_value("http.headers.x_tenant", tenant.clone().into());
            }
            router.execute(&mut context)
        });
    }
}

/// A route as Kong gives it to its matcher.
fn expression(place: &Place) -> String {
    let path = match place.path.strip_prefix('~') {
        Some(regex) => format!(r##"(http.path ~ r#"^{regex}"#)"##),
        None => format!(r#"(http.path ^= "{}")"#, place.path),
    };
    let host = place.host.as_ref().map(|host| format!(r#"(http.host == "{host}")"#));
    let method = place.method.map(|method| format!(r#"(http.method == "{method}")"#));
    let tenant = place.tenant.as_ref();
    let header = tenant.map(|value| format!(r#"(any(lower(http.headers.x_tenant)) == "{value}")"#));
    let all = method.into_iter().chain(host).chain([path]).chain(header);
    all.collect::<Vec<_>>().join(" && ")
}

fn of_paths_alone(criterion: &mut Criterion) {
    let mut group = group(criterion, "matchit");
    for count in COUNTS {
        let mut router = matchit::Router::new();
        for number in 0..count {
            let path = Shape::NoHost.place(number, count).path;
            router.insert(format!("{path}/{{*rest}}"), number).expect("a path of its own");
        }
        each_traffic(&mut group, Shape::NoHost, count, |request| router.at(&request.path).is_ok());
    }
    let mut by_method = HashMap::<&str, matchit::Router<()>>::new();
    for operation in rest::operations() {
        let router = by_method.entry(operation.method).or_default();
        router.insert(operation.template, ()).expect("a path of its own");
    }
    each_traffic(&mut group, Shape::RestApi, rest::operations().len(), |request| {
        by_method.get(request.method).is_some_and(|router| router.at(&request.path).is_ok())
    });
}

/// How long single requests take: the slowest of a hundred and of a thousand, and how
/// much of that is reading the clock twice.
fn tail(_criterion: &mut Criterion) {
    for (shape, count) in shapes_and_counts().filter(|(_, count)| *count > 100) {
        let snapshot = compiled(config(count, shape));
        for traffic in Traffic::ALL {
            let requests = requests(count, shape, traffic);
            let find =
                percentiles(&requests, |request| snapshot.routes.find(&request.view()).is_some());
            let clock = percentiles(&requests, |_| true);
            report(&format!(
                "tail/{shape:?}/{traffic:?}/{count}: {find} ns; the clock: {clock} ns"
            ));
        }
    }
}

fn percentiles(requests: &[Request], find: impl Fn(&Request) -> bool) -> String {
    let time = |request: &Request| {
        let request = black_box(request);
        let start = Instant::now();
        black_box(find(request));
        start.elapsed().as_nanos()
    };
    let mut times: Vec<_> = (0..4).flat_map(|_| requests.iter().map(time)).collect();
    times.sort_unstable();
    let at = |share: usize| times[times.len() * share / 1000];
    format!("p50 {} p99 {} p99.9 {}", at(500), at(990), at(999))
}

#[expect(clippy::print_stdout, reason = "where criterion prints as well")]
fn report(line: &str) {
    println!("{line}");
}

fn group<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20);
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_millis(700));
    group
}

fn shapes_and_counts() -> impl Iterator<Item = (Shape, usize)> {
    let counts = |shape: Shape| shape.counts(&COUNTS).into_iter().map(move |count| (shape, count));
    Shape::ALL.into_iter().flat_map(counts)
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
        let some = if count > 10_000 { 10 } else { 1000 };
        assert!(requests.iter().take(some).all(&find), "every request has a route");
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

criterion_group!(router, ours, kongs, of_paths_alone, tail);
criterion_main!(router);
