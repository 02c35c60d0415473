//! Two engines that differ in one option, each with origins of its own.

use super::client::{self, End};
use super::compare::{Ports, Shown, answered_early, comparable, difference};
use super::origin::Origin;
use super::said::{Ending, Stream};
use super::support::{Gateway, config};
use super::wire::Message;
use engine::Options;
use model::testing::{route, service};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Larger bodies are refused.
pub(crate) const MOST_BODY: usize = 60_000;

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
        let is_gone = matches!(stream.ending, Ending::Resets(_));
        let ends_alike = first.end == second.end || is_gone || answered_early(stream);
        let differs = difference("answer", &first.answers, &second.answers)
            .or_else(|| difference("request", &first.asked, &second.asked));
        if first.end == End::Hung || !ends_alike {
            let ends = format!("end, on: {:?}\nend, off: {:?}\n", first.end, second.end);
            return Some(ends + &differs.unwrap_or_default());
        }
        differs
    }
}

impl Engine {
    async fn start(slots: usize, change: impl FnOnce(&mut Options)) -> Engine {
        let mut origins = Vec::new();
        for _ in 0..slots {
            origins.push(Origin::start().await);
        }
        let (mut services, mut routes) = (Vec::new(), Vec::new());
        for (slot, origin) in origins.iter().enumerate() {
            let service = service(&format!("s{slot}")).url(&format!("http://{}/base", origin.addr));
            let service = service.build();
            let path = path(slot);
            let begun = |name: &str| {
                route(&format!("r{slot}{name}")).to(&service).path(&format!("{path}/{name}"))
            };
            routes.push(begun("b").build());
            let streamed = begun("s").with("request_buffering", false);
            routes.push(streamed.with("response_buffering", false).build());
            routes.push(begun("p").with("preserve_host", true).with("strip_path", false).build());
            services.push(service);
        }
        let gateway = Gateway::with(config(services, routes), 1, |options| {
            options.max_body = Some(MOST_BODY as u64);
            options.error_log.failures_per_second = u32::MAX;
            options.door.idle_timeout = std::time::Duration::from_secs(60);
            change(options);
        })
        .await;
        Engine { gateway, origins }
    }

    async fn play(&self, slot: usize, stream: &Stream, run: u64) -> Done {
        let origin = &self.origins[slot];
        origin.prepare(run, stream.requests.iter().map(|request| request.act.clone()).collect());
        let got = client::play(self.gateway.addr, stream, &path(slot), run).await;
        let ports = Ports { gateway: self.gateway.addr.port(), origin: origin.addr.port() };
        if stream.requests.last().is_some_and(|request| request.act.leaves_unsaid()) {
            client::clear(self.gateway.addr, &path(slot)).await;
        }
        let end = got.end;
        let (answers, asked) = comparable(stream, got, origin.take().await);
        let shown = |messages: Vec<Message>| {
            messages.iter().map(|message| Shown::of(message, ports)).collect()
        };
        Done { answers: shown(answers), asked: shown(asked), end }
    }
}

fn path(slot: usize) -> String {
    format!("/slot{slot}")
}
