//! Changes under load: nobody waits for them, nobody sees half of one.

use std::collections::HashSet;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::support::load::{Load, Sample, quantile};
use crate::support::{ControlPlane, DataPlane, Origin, PATIENCE, Site, within};

const PUSHES: usize = 200;
const EVERY: Duration = Duration::from_millis(100);

/// A second without pushes and a second with 10, in turn: whatever else the machine does meanwhile
/// slows both down.
const BLOCK: Duration = Duration::from_secs(1);
const BLOCKS: u32 = 40;

/// What a push may add on top of half as much again, in a debug build beside other tests. The measured
/// node has one core, on which it also reads, compiles and stores each push: requests that arrive
/// meanwhile wait for the scheduler, whose slice is 3 ms, and in a debug build the compiling itself
/// takes longer than a request. A release build on a machine that does nothing else needs none of it
/// (docs/benchmarks.md).
const SLICE: Duration = Duration::from_millis(3);

/// The variants a push chooses from. Each is three things of a service and three of the route, seen by
/// the origin: which origin, the path it is asked for, the prefix that was taken off, the Host.
const VARIANTS: usize = 16;

#[test]
fn pushes_under_load_fail_nothing_mix_nothing_and_slow_nobody() {
    let cores = Cores::split();
    let keep_off = move || sched_setaffinity(None, &cores.others).expect("it is allowed");
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().on_thread_start(keep_off);
    keep_off();
    runtime.build().unwrap().block_on(run(cores));
}

async fn run(cores: Cores) {
    let site = Site::alone().await;
    let origins = [tell("even").await, tell("odd").await];
    let (control_plane, data_plane) = cluster(&site, &cores).await;
    let variants = Variants::configure(&control_plane, &origins).await;
    variants.push(&control_plane, 0).await;
    // Every worker, not just the one that is asked.
    within(PATIENCE, async || data_plane.is_up_to_date(&control_plane).await).await;

    let load = Load { at: data_plane.proxy, host: HOST, path: variants.target(), connections: 16 };
    let saturation = load.saturation(Duration::from_secs(2)).await;
    let rate = saturation / 2.0;
    let start = Instant::now();
    let (samples, pushed) =
        tokio::join!(load.steady(BLOCK * BLOCKS, rate), push_all(&control_plane, &variants, start));

    let failed: Vec<_> =
        samples.iter().filter_map(|sample| sample.outcome.as_ref().err()).collect();
    assert!(
        failed.is_empty(),
        "{} of {} failed: {:?}",
        failed.len(),
        samples.len(),
        failed.first()
    );
    let seen: HashSet<_> =
        samples.iter().filter_map(|sample| sample.outcome.as_ref().ok()).collect();
    let mixed: Vec<_> = seen.iter().filter(|answer| !variants.valid.contains(**answer)).collect();
    assert!(mixed.is_empty(), "of no revision: {mixed:?}");
    assert_eq!(seen.len(), VARIANTS, "every variant was served for a while");
    assert_eq!(pushed, PUSHES);
    within(PATIENCE, async || data_plane.is_joined(&control_plane).await).await;

    let (quiet, busy) = (p99(&samples, start, is_quiet), p99(&samples, start, is_busy));
    let all = |belongs| quantile(0.99, taken(&samples, start, belongs));
    eprintln!(
        "{rate:.0} requests/s, p99 {quiet:?} without pushes, {busy:?} with 10 pushes/s; \
         of all 20 s, the worst included: {:?} and {:?}",
        all(&is_quiet),
        all(&is_busy)
    );
    assert!(busy <= quiet.mul_f64(1.5) + SLICE, "p99 {quiet:?} without pushes, {busy:?} with");
}

/// The p99 of the usual one of these blocks: one that another process has spoilt does not count.
fn p99(samples: &[Sample], start: Instant, belongs: fn(u32) -> bool) -> Duration {
    let of = |block| quantile(0.99, taken(samples, start, &move |other| other == block));
    quantile(0.5, (0..BLOCKS).filter(|block| belongs(*block)).map(of))
}

/// How long the requests took that were due in these blocks.
fn taken(
    samples: &[Sample],
    start: Instant,
    belongs: &dyn Fn(u32) -> bool,
) -> impl Iterator<Item = Duration> {
    let block = move |sample: &Sample| (sample.due - start).div_duration_f64(BLOCK) as u32;
    samples.iter().filter(move |sample| belongs(block(sample))).map(|sample| sample.took)
}

fn is_busy(block: u32) -> bool {
    block % 2 == 1
}

fn is_quiet(block: u32) -> bool {
    !is_busy(block)
}

async fn cluster(site: &Site, cores: &Cores) -> (ControlPlane, DataPlane) {
    let mut control_plane = ControlPlane::new(site);
    let mut data_plane = DataPlane::new(site, control_plane.cluster);
    for process in [&mut control_plane.process, &mut data_plane.process] {
        process.set("log_level", "notice");
    }
    data_plane.process.set("proxy_access_log", "off");
    data_plane.process.set("workers", 2); // on one core: each must be told of each push
    // On another machine it would not keep the client or the origin waiting.
    control_plane.process.launch_by(&["nice", "-n", "19", "taskset", "-c", &cores.other_list()]);
    data_plane.process.launch_by(&["taskset", "-c", &cores.measured.to_string()]);
    control_plane.start().await;
    data_plane.start().await;
    within(PATIENCE, async || data_plane.is_joined(&control_plane).await).await;
    (control_plane, data_plane)
}

/// Says how many pushes were made.
async fn push_all(control_plane: &ControlPlane, variants: &Variants, start: Instant) -> usize {
    let mut pushed = 0;
    for block in (0..BLOCKS).filter(|block| is_busy(*block)) {
        let begin = start + BLOCK * block;
        for tick in 0..(BLOCK.as_millis() / EVERY.as_millis()) as u32 {
            sleep_until(begin + EVERY * tick).await;
            pushed += 1;
            variants.push(control_plane, pushed).await;
        }
    }
    pushed
}

const HOST: &str = "client.test";

/// An origin that says which one it is, and what it was asked for.
async fn tell(name: &'static str) -> Origin {
    let router = Router::new().fallback(async move |request: Request| {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let (host, prefix) = (header("host"), header("x-forwarded-prefix"));
        format!("{name} {} {} {}", request.uri(), host.unwrap_or("-"), prefix.unwrap_or("-"))
    });
    Origin::serve(router).await
}

/// What the one route under load may look like.
struct Variants {
    /// All answers that one revision can give.
    valid: HashSet<String>,
}

impl Variants {
    async fn configure(control_plane: &ControlPlane, origins: &[Origin; 2]) -> Self {
        let mut valid = HashSet::new();
        for number in 0..VARIANTS {
            let origin = &origins[number % 2];
            let service =
                json!({ "name": service(number), "url": origin.url(&format!("/v{number}")) });
            control_plane.post("/services", service).await;
            let host =
                if keeps_host(number) { HOST.to_owned() } else { origin.address.to_string() };
            let (name, rest) = (["even", "odd"][number % 2], segments(number..VARIANTS));
            valid.insert(format!("{name} /v{number}{rest} {host} {}", prefix(number)));
        }
        let route =
            json!({ "name": "marked", "paths": ["/not-yet"], "service": { "name": service(0) } });
        control_plane.post("/routes", route).await;
        Self { valid }
    }

    /// What clients ask for, whichever variant is served.
    fn target(&self) -> String {
        format!("/m{}", segments(0..VARIANTS))
    }

    /// One write, one revision: another service, and the marks that go with it.
    async fn push(&self, control_plane: &ControlPlane, count: usize) {
        let number = count % VARIANTS;
        let change: Value = json!({
            "service": { "name": service(number) },
            "paths": [prefix(number)],
            "preserve_host": keeps_host(number),
        });
        control_plane.patch("/routes/marked", change).await;
    }
}

fn service(number: usize) -> String {
    format!("service-{number}")
}

fn keeps_host(number: usize) -> bool {
    number / 2 % 2 == 1
}

/// How much of the target the route of this variant matches, and takes off.
fn prefix(number: usize) -> String {
    format!("/m{}", segments(0..number))
}

fn segments(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| format!("/{number}")).collect()
}

/// One core for what is measured, the others for everything else: the two planes are two machines.
#[derive(Clone, Copy)]
struct Cores {
    measured: usize,
    others: CpuSet,
}

impl Cores {
    fn split() -> Self {
        let mut others = sched_getaffinity(None).unwrap();
        let measured = (0..CpuSet::MAX_CPU).find(|core| others.is_set(*core)).unwrap();
        if others.count() > 1 {
            others.unset(measured);
        }
        Self { measured, others }
    }

    /// As `taskset -c` takes them.
    fn other_list(&self) -> String {
        let cores = (0..CpuSet::MAX_CPU).filter(|core| self.others.is_set(*core));
        cores.map(|core| core.to_string()).collect::<Vec<_>>().join(",")
    }
}
