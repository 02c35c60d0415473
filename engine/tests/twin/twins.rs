//! Two engines that differ in one option, each with origins of its own.

use super::client::{self, End, Got};
use super::compare::{Ports, Shown, difference};
use super::origin::Origin;
use super::said::Stream;
use super::support::{Gateway, config};
use engine::Options;
use model::testing::{route, service};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Two engines and what is behind them.
pub(crate) struct Twins {
    engines: [Engine; 2],
    runs: AtomicU64,
}

struct Engine {
    gateway: Gateway,
    /// One for each stream at a time: connections to upstreams are nobody else's.
    origins: Vec<Origin>,
}

/// What one engine did with a stream.
struct Done {
    answers: Vec<Shown>,
    end: End,
    asked: Vec<Shown>,
}

impl Twins {
    /// For so many streams at a time.
    pub(crate) async fn start(
        slots: usize,
        first: impl FnOnce(&mut Options),
        second: impl FnOnce(&mut Options),
    ) -> Twins {
        let engines = [Engine::start(slots, first).await, Engine::start(slots, second).await];
        Twins { engines, runs: AtomicU64::new(0) }
    }

    /// What is different between what becomes of this stream here and there.
    pub(crate) async fn difference(&self, slot: usize, stream: &Stream) -> Option<String> {
        let run = self.runs.fetch_add(1, Relaxed);
        let [first, second] = &self.engines;
        let (first, second) =
            tokio::join!(first.play(slot, stream, run), second.play(slot, stream, run));
        if first.end == End::Hung || first.end != second.end {
            return Some(format!("end, on: {:?}\nend, off: {:?}\n", first.end, second.end));
        }
        difference("answer", &first.answers, &second.answers)
            .or_else(|| difference("request", &first.asked, &second.asked))
    }
}

impl Engine {
    async fn start(slots: usize, change: impl FnOnce(&mut Options)) -> Engine {
        let mut origins = Vec::new();
        for _ in 0..slots {
            origins.push(Origin::start().await);
        }
        let services: Vec<_> = (0..)
            .zip(&origins)
            .map(|(slot, origin): (usize, _)| {
                service(&format!("s{slot}")).url(&format!("http://{}/base", origin.addr)).build()
            })
            .collect();
        let routes: Vec<_> = (0..)
            .zip(&services)
            .map(|(slot, service): (usize, _)| {
                route(&format!("r{slot}")).to(service).path(&path(slot)).build()
            })
            .collect();
        let gateway = Gateway::with(config(services, routes), 1, |options| {
            options.door.idle_timeout = std::time::Duration::from_secs(60);
            change(options);
        })
        .await;
        Engine { gateway, origins }
    }

    async fn play(&self, slot: usize, stream: &Stream, run: u64) -> Done {
        let Got { answers, end } = client::play(self.gateway.addr, stream, &path(slot), run).await;
        let origin = &self.origins[slot];
        let ports = Ports { gateway: self.gateway.addr.port(), origin: origin.addr.port() };
        let asked = origin.take(run);
        Done {
            answers: answers.iter().map(|answer| Shown::of(answer, ports)).collect(),
            asked: asked.iter().map(|(_, asked)| Shown::of(asked, ports)).collect(),
            end,
        }
    }
}

fn path(slot: usize) -> String {
    format!("/slot{slot}")
}
