//! The look-ups of one benchmark and nothing else, for tools that count instructions and
//! cache misses. Those do not depend on what else a machine does:
//!
//! ```text
//! cargo build --profile bench -p benches --example finds
//! valgrind --tool=callgrind --cache-sim=yes --LL=1048576,16,64 \
//!     --toggle-collect='finds::find' target/release/examples/finds Regexes Uniform 100000
//! ```
//!
//! There are 32,768 look-ups. With `finds::fetch` it counts what reading the requests costs
//! alone, which is to be taken off.

use benches::{Request, Shape, Traffic, compiled, config, requests};
use engine::router::RouteTable;
use std::fmt::Debug;
use std::hint::black_box;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [shape, traffic, count] = &arguments[..] else { panic!("finds SHAPE TRAFFIC COUNT") };
    let shape = Shape::ALL.into_iter().find(|known| is(known, shape)).expect("a shape");
    let traffic = Traffic::ALL.into_iter().find(|known| is(known, traffic)).expect("a traffic");
    let count = shape.counts(&[count.parse().expect("a number")])[0];
    let snapshot = compiled(config(count, shape));
    let requests = requests(count, shape, traffic);
    // Caches are as they are after a while, and not empty.
    let (warm, asked) = requests.split_at(requests.len() / 2);
    assert!(warm.iter().all(|request| snapshot.routes.find(&request.view()).is_some()));
    find(&snapshot.routes, asked);
    fetch(asked);
}

fn is(value: &impl Debug, name: &str) -> bool {
    format!("{value:?}") == name
}

#[inline(never)]
fn find(routes: &RouteTable, requests: &[Request]) {
    for request in requests {
        black_box(routes.find(&black_box(request).view()).is_some());
    }
}

#[inline(never)]
fn fetch(requests: &[Request]) {
    for request in requests {
        let view = black_box(request).view();
        black_box((view.host.first(), view.path.last(), request.tenant.as_ref()));
    }
}
