//! Compiling a revision: from nothing, and after one change.
//!
//! The old snapshot is not dropped while time runs, since the publisher does that.

use benches::{Shape, compiled, config, route_id, service_id};
use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, criterion_group, criterion_main,
};
use engine::snapshot::{Snapshot, compile};
use model::entities::{Route, Service};
use model::testing::revision;
use model::{Config, Revision};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

const COUNTS: [usize; 3] = [1_000, 10_000, 100_000];

fn from_nothing(criterion: &mut Criterion) {
    let mut group = group(criterion, "compile/from_nothing");
    for (shape, count) in
        [Shape::ManyHosts, Shape::Regexes].into_iter().flat_map(|s| COUNTS.map(|n| (s, n)))
    {
        let revision = revision(1, config(count, shape));
        group.bench_function(BenchmarkId::new(format!("{shape:?}"), count), |bencher| {
            bencher.iter_with_large_drop(|| compile(&revision, &Snapshot::empty()));
        });
    }
}

/// Every iteration changes another entity of the revision before.
fn one_change(criterion: &mut Criterion) {
    let mut group = group(criterion, "compile/one_change");
    for count in COUNTS {
        let config = config(count, Shape::ManyHosts);
        let snapshot = compiled(config.clone());
        let mut change = |name: &str, change: fn(&mut Config, usize)| {
            let id = BenchmarkId::new(name, count);
            each_change(&mut group, id, config.clone(), Arc::clone(&snapshot), change);
        };
        change("route_moves", |config, number| {
            change_route(config, number, |route| {
                route.paths = Some(vec![format!("/moved/{number}").parse().expect("a path")]);
            });
        });
        change("route_moves_to_a_regex", |config, number| {
            change_route(config, number, |route| {
                let path = format!("~/moved/{number}/(?<kind>[^/]+)/[0-9]+$");
                route.paths = Some(vec![path.parse().expect("a path")]);
            });
        });
        change("route_acts_otherwise", |config, number| {
            change_route(config, number, |route| route.preserve_host = !route.preserve_host);
        });
        change("service_of_100_routes", |config, number| {
            let services = config.all::<Service>().len();
            let id = service_id(number % services);
            let service = config.get(id).expect("a numbered service").clone();
            config.write(Service { port: service.port ^ 1, ..service });
        });
    }
}

fn each_change(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    mut config: Config,
    mut snapshot: Arc<Snapshot>,
    change: fn(&mut Config, usize),
) {
    let mut number = 0;
    let mut next = || -> Arc<Revision> {
        // A prime: neighbours in time are not neighbours in memory.
        number += 7919;
        change(&mut config, number);
        revision(1, config.clone())
    };
    group.bench_function(id, |bencher| {
        bencher.iter_batched(
            &mut next,
            |revision| {
                let next = compile(&revision, &snapshot).expect("it can be served");
                mem::replace(&mut snapshot, Arc::new(next))
            },
            BatchSize::PerIteration,
        );
    });
}

fn change_route(config: &mut Config, number: usize, change: impl Fn(&mut Route)) {
    let count = config.all::<Route>().len();
    let mut route = config.get(route_id(number % count)).expect("a numbered route").clone();
    change(&mut route);
    config.write(route);
}

fn group<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs(1));
    group
}

criterion_group!(compiling, from_nothing, one_change);
criterion_main!(compiling);
