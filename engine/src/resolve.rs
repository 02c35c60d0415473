//! Names to addresses, in the background.
//!
//! A worker never resolves: it reads the last answer, however old, and only the
//! first requests for a name that nobody has asked for wait. A task per name
//! renews the answer when its time to live is over; when renewing fails the old
//! answer serves on for an hour, as Kong's does. Names nobody uses are forgotten.

use arc_swap::{ArcSwap, ArcSwapOption};
use hickory_resolver::TokioResolver;
use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Answers are kept at least this long, also those that forbid it.
const SHORTEST: Duration = Duration::from_secs(1);
/// How long a name that does not exist is not asked for again.
const NOT_FOUND: Duration = Duration::from_secs(30);
/// How long after another failure it is tried again.
const FAILED: Duration = Duration::from_secs(1);
/// How long an answer serves that cannot be renewed.
const STALE: Duration = Duration::from_secs(3600);
/// A name nobody asked for during this long is forgotten.
const IDLE: Duration = Duration::from_secs(600);

/// What a name stands for.
type Found = Arc<[IpAddr]>;
type Answering = Pin<Box<dyn Future<Output = Result<(Vec<IpAddr>, Duration), Unresolved>> + Send>>;
type Lookup = Box<dyn Fn(&str) -> Answering + Send + Sync>;

/// Why a name has no address.
#[derive(Clone, Debug, thiserror::Error)]
enum Unresolved {
    #[error("no such name")]
    NotFound,
    #[error("{0}")]
    Failed(String),
}

/// The addresses of names, shared by all workers.
pub(crate) struct Resolver {
    names: ArcSwap<HashMap<Box<str>, Arc<Entry>>>,
    lookup: Lookup,
    background: Handle,
}

/// One name.
#[derive(Debug)]
struct Entry {
    name: Box<str>,
    /// The last answer; empty when there is none or it went stale.
    found: ArcSwapOption<Found>,
    /// Becomes true with the first answer, good or bad.
    answered: watch::Sender<bool>,
    used: AtomicBool,
}

impl Resolver {
    /// Resolves as the system is configured to: `/etc/resolv.conf` and `/etc/hosts`.
    pub(crate) fn system(background: Handle) -> Arc<Resolver> {
        let resolver = {
            let _inside = background.enter();
            TokioResolver::builder_tokio().and_then(|builder| builder.build())
        };
        let resolver = resolver.map(Arc::new).map_err(|error| {
            tracing::error!(%error, "cannot resolve names: the resolver is misconfigured");
            Unresolved::Failed(error.to_string())
        });
        let lookup = move |name: &str| -> Answering {
            let (resolver, name) = (resolver.clone(), name.to_owned());
            Box::pin(async move { ask(&*resolver?, name).await })
        };
        Resolver::new(background, Box::new(lookup))
    }

    fn new(background: Handle, lookup: Lookup) -> Arc<Resolver> {
        Arc::new(Resolver { names: ArcSwap::default(), lookup, background })
    }

    /// An address of `host`, which is one itself or a name: the `turn`-th, going
    /// round. None if it has none.
    pub(crate) async fn address(self: &Arc<Self>, host: &str, turn: usize) -> Option<IpAddr> {
        if let Some(address) = literal(host) {
            return Some(address);
        }
        let entry = self.entry(host);
        if !entry.used.load(Relaxed) {
            entry.used.store(true, Relaxed);
        }
        let found = match entry.found.load_full() {
            Some(found) => found,
            None => {
                entry.answered.subscribe().wait_for(|answered| *answered).await.ok()?;
                entry.found.load_full()?
            }
        };
        found.get(turn % found.len().max(1)).copied()
    }

    fn entry(self: &Arc<Self>, name: &str) -> Arc<Entry> {
        if let Some(entry) = self.names.load().get(name) {
            return entry.clone();
        }
        let fresh = Arc::new(Entry {
            name: name.into(),
            found: ArcSwapOption::empty(),
            answered: watch::Sender::new(false),
            used: AtomicBool::new(true),
        });
        self.names.rcu(|names| {
            let mut names = HashMap::clone(names);
            names.entry(name.into()).or_insert_with(|| fresh.clone());
            names
        });
        let entry = self.names.load().get(name).cloned().unwrap_or_else(|| fresh.clone());
        // Of several that asked at once, one got its entry in.
        if Arc::ptr_eq(&entry, &fresh) {
            self.background.spawn(Arc::clone(self).keep(fresh));
        }
        entry
    }

    /// Renews one name's answer for as long as it is used.
    async fn keep(self: Arc<Self>, entry: Arc<Entry>) {
        let (mut fresh, mut asked_for) = (Instant::now(), Instant::now());
        while asked_for.elapsed() < IDLE {
            let pause = match (self.lookup)(&entry.name).await {
                Ok((addresses, valid)) if !addresses.is_empty() => {
                    fresh = Instant::now();
                    entry.found.store(Some(Arc::new(addresses.into())));
                    valid.max(SHORTEST)
                }
                Ok(_) => self.without_answer(&entry, &Unresolved::NotFound, fresh),
                Err(error) => self.without_answer(&entry, &error, fresh),
            };
            entry.answered.send_replace(true);
            sleep(pause.min(IDLE)).await;
            if entry.used.swap(false, Relaxed) {
                asked_for = Instant::now();
            }
        }
        self.names.rcu(|names| {
            let mut names = HashMap::clone(names);
            names.remove(&entry.name);
            names
        });
    }

    /// Keeps the old answer while it may serve. Says when to ask again.
    fn without_answer(&self, entry: &Entry, error: &Unresolved, fresh: Instant) -> Duration {
        let stale = entry.found.load().is_some();
        tracing::warn!(name = %entry.name, %error, stale, "cannot resolve a name");
        if stale && fresh.elapsed() > STALE {
            entry.found.store(None);
        }
        match error {
            Unresolved::NotFound => NOT_FOUND,
            Unresolved::Failed(_) => FAILED,
        }
    }
}

/// The address `host` is, if it is one; IPv6 with or without brackets.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

async fn ask(
    resolver: &TokioResolver,
    name: String,
) -> Result<(Vec<IpAddr>, Duration), Unresolved> {
    match resolver.lookup_ip(name).await {
        Ok(found) => {
            let valid = found.valid_until().saturating_duration_since(std::time::Instant::now());
            Ok((preferred(found.iter().collect()), valid))
        }
        Err(error) if error.is_no_records_found() || error.is_nx_domain() => {
            Err(Unresolved::NotFound)
        }
        Err(error) => Err(Unresolved::Failed(error.to_string())),
    }
}

/// IPv4 where there is any, as Kong, which asks for IPv6 only when told to.
fn preferred(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    if addresses.iter().any(IpAddr::is_ipv4) {
        addresses.retain(IpAddr::is_ipv4);
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    type Script = Vec<Result<(Vec<IpAddr>, Duration), Unresolved>>;

    /// A resolver that gives these answers, one after the other, the last for ever.
    fn scripted(answers: Script) -> Arc<Resolver> {
        let answers = Mutex::new(answers);
        let lookup = move |_: &str| -> Answering {
            let mut answers = answers.lock().unwrap();
            let next = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
            Box::pin(async move { next })
        };
        Resolver::new(Handle::current(), Box::new(lookup))
    }

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    const TTL: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn the_first_asker_waits_and_others_go_round() {
        let resolver = scripted(vec![Ok((vec![ip(1), ip(2)], TTL))]);
        assert_eq!(resolver.address("a.test", 0).await, Some(ip(1)));
        assert_eq!(resolver.address("a.test", 1).await, Some(ip(2)));
        assert_eq!(resolver.address("a.test", 2).await, Some(ip(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_renewed_and_serves_on_when_that_fails() {
        let failed = || Err(Unresolved::Failed("no network".into()));
        let resolver =
            scripted(vec![Ok((vec![ip(1)], TTL)), failed(), Ok((vec![ip(2)], TTL)), failed()]);
        assert_eq!(resolver.address("a.test", 0).await, Some(ip(1)));
        sleep(TTL + Duration::from_millis(1)).await;
        assert_eq!(resolver.address("a.test", 0).await, Some(ip(1)));
        sleep(FAILED).await;
        assert_eq!(resolver.address("a.test", 0).await, Some(ip(2)));
        for _ in 0..40 {
            sleep(STALE / 40).await;
            assert_eq!(resolver.address("a.test", 0).await, Some(ip(2)));
        }
        sleep(TTL * 2).await;
        assert_eq!(resolver.address("a.test", 0).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_does_not_exist_is_asked_for_again_later() {
        let resolver = scripted(vec![Err(Unresolved::NotFound), Ok((vec![ip(1)], TTL))]);
        assert_eq!(resolver.address("a.test", 0).await, None);
        assert_eq!(resolver.address("a.test", 0).await, None);
        sleep(NOT_FOUND + Duration::from_millis(1)).await;
        assert_eq!(resolver.address("a.test", 0).await, Some(ip(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unused_name_is_forgotten() {
        let resolver = scripted(vec![Ok((vec![ip(1)], TTL))]);
        assert_eq!(resolver.address("a.test", 0).await, Some(ip(1)));
        sleep(IDLE + TTL * 3).await;
        assert!(resolver.names.load().is_empty());
    }

    #[test]
    fn ipv6_is_for_names_without_ipv4() {
        let six = IpAddr::from([0u16, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(preferred(vec![six, ip(1), ip(2)]), [ip(1), ip(2)]);
        assert_eq!(preferred(vec![six]), [six]);
    }

    #[tokio::test]
    async fn an_address_needs_no_asking() {
        let resolver = scripted(vec![Err(Unresolved::NotFound)]);
        for (host, expected) in [("10.0.0.1", ip(1)), ("[::1]", [0u16, 0, 0, 0, 0, 0, 0, 1].into())]
        {
            assert_eq!(resolver.address(host, 0).await, Some(expected));
        }
        assert!(resolver.names.load().is_empty());
    }
}
