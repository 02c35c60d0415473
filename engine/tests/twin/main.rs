//! The same streams of requests, at random, to two engines of which one has the express lane and
//! the other has not: what clients and origins see must be the same.
//!
//! `TWIN_STREAMS=1000000 cargo test --release -p engine --test twin alike -- --nocapture` for
//! more of them, `TWIN_SEED` for others. A stream that fails is made smaller and printed with the
//! seed that gives it again: `TWIN_SEED=<that> TWIN_STREAMS=1`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "../proxy/support.rs"]
mod support;

#[path = "../router/random.rs"]
mod random; // numbers
mod act; // what an origin is told to do
mod said; // what a client says
mod generate; // streams from seeds
mod wire; // reading messages
mod origin;
mod journal; // what engines log
mod client;
mod twins; // two engines
mod compare; // what they did
mod shrink; // the least that shows a difference

use engine::options::Lanes;
use generate::some_stream;
use shrink::shrink;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::task::JoinSet;
use twins::Twins;

/// Those that engines have which nobody tells otherwise.
const LANES: Lanes = Lanes { express: true };

/// So many connections at a time.
const SLOTS: usize = 32;
/// Of more failures, the rest would say the same.
const ENOUGH: usize = 5;
/// So many streams may be different once and not again, and one more in so many: where a connection
/// ends just when something comes on it, the machine decides what is first.
const HANDFUL: u64 = 3;
const RARELY: u64 = 50_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_lanes_do_alike() {
    let twins = Twins::start(
        SLOTS,
        |o| o.lanes = Lanes { express: true },
        |o| o.lanes = Lanes { express: false },
    );
    let (seed, streams) = (number("TWIN_SEED").unwrap_or(1), number("TWIN_STREAMS"));
    let failures = compare(twins.await, seed, streams.unwrap_or(10_000)).await;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_alike_is_found_and_made_small() {
    let twins = Twins::start(SLOTS, |_| {}, |options| options.headers.via = false).await;
    let failures = compare(twins, 1, 20).await;
    let failure = failures.first().expect("a difference");
    assert!(failure.contains("Via: 1.1 gateway/"), "{failure}");
    let asked = failure.lines().filter(|line| line.starts_with("> ")).count();
    assert_eq!(asked, 1, "{failure}");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Sends so many streams, the first of this seed and each of the next one; what is different.
async fn compare(twins: Twins, seed: u64, streams: u64) -> Vec<String> {
    journal::begin();
    let (next, failures, once) = (AtomicU64::new(0), Mutex::default(), Mutex::default());
    let work = Arc::new(Work { twins, next, failures, once });
    let (mut playing, begun) = (JoinSet::new(), Instant::now());
    for slot in 0..SLOTS {
        let work = work.clone();
        playing.spawn(async move {
            while let Some(at) = work.next(streams) {
                if at > 0 && at.is_multiple_of(10_000) {
                    print(&format!("{at} streams, {:.0} s", begun.elapsed().as_secs_f64()));
                }
                work.compare(slot, seed.wrapping_add(at)).await;
            }
        });
    }
    playing.join_all().await;
    let mut failures = std::mem::take(&mut *work.failures.lock().unwrap());
    let once = std::mem::take(&mut *work.once.lock().unwrap());
    if once.len() as u64 > HANDFUL + streams / RARELY {
        failures.push("too many of these, each different once:".to_owned());
        failures.extend(once.into_iter().take(ENOUGH));
    } else if !once.is_empty() {
        print(&format!("{} different once, not again:\n{}", once.len(), once.join("\n")));
    }
    failures
}

/// What there is to do, and what came of it.
struct Work {
    twins: Twins,
    next: AtomicU64,
    failures: Mutex<Vec<String>>,
    /// What was different once, and not again.
    once: Mutex<Vec<String>>,
}

impl Work {
    fn next(&self, streams: u64) -> Option<u64> {
        let is_enough = self.failures.lock().unwrap().len() >= ENOUGH;
        let at = self.next.fetch_add(1, Relaxed);
        (at < streams && !is_enough).then_some(at)
    }

    /// Whether it is seen again, which it is not if the machine stood still for a while.
    async fn again(
        &self,
        slot: usize,
        seed: u64,
        stream: &said::Stream,
        first: String,
    ) -> Option<String> {
        for _ in 0..3 {
            let again = self.twins.difference(slot, stream).await;
            if again.is_some() {
                return again;
            }
        }
        self.once.lock().unwrap().push(told(seed, stream, &first));
        None
    }

    async fn compare(&self, slot: usize, seed: u64) {
        let stream = some_stream(seed);
        if let Some(difference) = self.twins.difference(slot, &stream).await {
            let Some(difference) = self.again(slot, seed, &stream, difference).await else {
                return;
            };
            let (stream, difference) = shrink(&self.twins, slot, stream, difference).await;
            self.failures.lock().unwrap().push(told(seed, &stream, &difference));
        }
    }
}

#[expect(clippy::print_stdout, reason = "many streams take a while")]
fn print(text: &str) {
    println!("{text}");
}

/// A failure, such that it can be read, and had again.
fn told(seed: u64, stream: &said::Stream, difference: &str) -> String {
    let mut text = format!("TWIN_SEED={seed} TWIN_STREAMS=1 is different; the least of it is\n");
    for step in stream.steps("/slot", 0) {
        let said::Step::Say(burst) = step else {
            writeln!(text, "({step:?})").unwrap();
            continue;
        };
        for piece in stream.pieces(&burst) {
            writeln!(text, "> {}", piece[..piece.len().min(200)].escape_ascii()).unwrap();
        }
    }
    for request in &stream.requests {
        writeln!(text, "{:?}", request.act).unwrap();
    }
    text + difference
}
