//! Finding the route on a machine that is not ours alone: many short runs, of which the
//! fastest tells what the code takes, and the median how it went.
//!
//! Most of a look-up among many routes is waiting for memory, which is as slow as others
//! make it. So each line also tells how long a load takes that has to wait for the one
//! before it, from as much memory as a table of 100,000 routes has. matchit, which knows
//! paths only, takes turns with ours where there is nothing but paths.

use benches::{Request, Shape, Traffic, compiled, config, requests};
use std::cell::Cell;
use std::hint::black_box;
use std::time::Instant;

/// Look-ups in a run.
const RUN: usize = 2048;
/// How often all requests are gone through.
const ROUNDS: usize = 6;
/// Cache lines that are loaded from: 8 MiB.
const LINES: usize = 1 << 17;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let is_wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|a| name.contains(a));
    let memory = Memory::new();
    for shape in Shape::ALL.into_iter().filter(|shape| is_wanted(&format!("{shape:?}"))) {
        let count = shape.counts(&[100_000])[0];
        let snapshot = compiled(config(count, shape));
        let paths = (shape == Shape::NoHost).then(|| of_paths(count));
        for traffic in Traffic::ALL {
            let requests = requests(count, shape, traffic);
            let find = |request: &Request| snapshot.routes.find(&request.view()).is_some();
            let read = |request: &Request| {
                let view = request.view();
                black_box((view.host.first(), view.path.last())).1.is_some()
            };
            let [mut ours, mut reading, mut matchits, mut loads] = [const { Vec::new() }; 4];
            for _ in 0..ROUNDS {
                let runs = || requests.chunks_exact(RUN);
                // Rounds of one kind, so that each has the caches to itself.
                ours.extend(runs().map(|run| per_request(run, find)));
                reading.extend(runs().map(|run| per_request(run, read)));
                if let Some(paths) = &paths {
                    let find = |request: &Request| paths.at(&request.path).is_ok();
                    matchits.extend(runs().map(|run| per_request(run, find)));
                }
                loads.extend((0..8).map(|_| memory.load()));
            }
            report(&format!(
                "{shape:?}/{traffic:?}/{count}: {} ns; reading the request alone {} ns; a load {} ns{}",
                told(&mut ours),
                told(&mut reading),
                told(&mut loads),
                if paths.is_some() {
                    format!("; matchit {} ns", told(&mut matchits))
                } else {
                    String::new()
                },
            ));
        }
    }
}

/// Nanoseconds for each request of a run, all of which must find something.
fn per_request(run: &[Request], find: impl Fn(&Request) -> bool) -> f64 {
    let start = Instant::now();
    let found = run.iter().filter(|request| find(black_box(request))).count();
    let time = start.elapsed().as_nanos() as f64 / run.len() as f64;
    assert_eq!(found, run.len(), "every request has a route");
    time
}

fn of_paths(count: usize) -> matchit::Router<usize> {
    let mut router = matchit::Router::new();
    for number in 0..count {
        let path = Shape::NoHost.place(number, count).path;
        router.insert(format!("{path}/{{*rest}}"), number).expect("a path of its own");
    }
    router
}

/// The fastest, the median, and the slowest of a hundred.
fn told(times: &mut [f64]) -> String {
    times.sort_by(f64::total_cmp);
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    format!("{:.0} (median {:.0}, p99 {:.0})", at(0), at(50), at(99))
}

/// Cache lines, each of which has the number of another: one ring of all.
struct Memory {
    lines: Vec<[usize; 8]>,
    at: Cell<usize>,
}

impl Memory {
    fn new() -> Memory {
        // Full period, for a power of two (Hull and Dobell), and in no order that a processor
        // could guess.
        let next = |at: usize| (at.wrapping_mul(0x5851_F42D) + 0x9E37_79B9) % LINES;
        Memory { lines: (0..LINES).map(|at| [next(at); 8]).collect(), at: Cell::new(0) }
    }

    /// Nanoseconds for a load that waits for the one before.
    fn load(&self) -> f64 {
        const LOADS: usize = 2000;
        let start = Instant::now();
        let mut at = self.at.get();
        for _ in 0..LOADS {
            at = self.lines.get(at).map_or(0, |line| line[0]);
        }
        self.at.set(at);
        start.elapsed().as_nanos() as f64 / LOADS as f64
    }
}

#[expect(clippy::print_stdout, reason = "it is what this is for")]
fn report(line: &str) {
    println!("{line}");
}
