//! Connections to upstreams that nobody uses just now.
//!
//! One pool for all upstreams of a worker: the connection used last is taken first, and the one that has
//! been idle for longest makes room. What an upstream has closed meanwhile is never handed out, as far
//! as its end has been heard of.

use crate::door::{Timer as _, Transport};
use crate::options::Keepalive;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::ReadBuf;
use tokio::time::Instant;

/// How often the pool is looked through for connections that have ended.
const ROUND: Duration = Duration::from_secs(1);

/// One worker's idle connections.
#[derive(Debug)]
pub(super) struct Pool<S> {
    keepalive: Keepalive,
    // Never contended: all of it happens on one thread.
    state: Mutex<State<S>>,
}

#[derive(Debug)]
struct State<S> {
    /// Connections in the order in which they became idle.
    idle: BTreeMap<u64, Idle<S>>,
    /// Which of them lead where, the one that became idle last at the end.
    by_address: HashMap<SocketAddr, VecDeque<u64>, ahash::RandomState>,
    next: u64,
}

#[derive(Debug)]
struct Idle<S> {
    connection: Pooled<S>,
    address: SocketAddr,
    since: Instant,
}

/// A connection, and how many requests it has carried.
#[derive(Debug)]
pub(super) struct Pooled<S> {
    pub(super) io: S,
    pub(super) uses: u32,
}

impl<S: Transport> Pool<S> {
    pub(super) fn new(keepalive: Keepalive) -> Pool<S> {
        let state = State { idle: BTreeMap::new(), by_address: HashMap::default(), next: 0 };
        Pool { keepalive, state: Mutex::new(state) }
    }

    /// A connection to `address` that is still open.
    pub(super) fn take(&self, address: SocketAddr) -> Option<Pooled<S>> {
        let mut state = self.state();
        loop {
            let mut found = state.take(address)?;
            if is_quiet(&mut found.io) {
                return Some(found);
            }
        }
    }

    /// Keeps a connection that became idle `now`, unless it has carried as much as it may.
    pub(super) fn keep(&self, address: SocketAddr, mut connection: Pooled<S>, now: Instant) {
        let worn = self.keepalive.max_requests.is_some_and(|most| connection.uses >= most);
        if worn || self.keepalive.pool_size == 0 {
            return;
        }
        let mut state = self.state();
        if state.idle.len() >= self.keepalive.pool_size {
            state.remove_oldest();
        }
        connection.io.rest();
        state.keep(Idle { connection, address, since: now });
    }

    /// Closes connections that have ended or have been idle for too long. Runs as long as its worker.
    pub(super) async fn tend(&self) {
        let idle = self.keepalive.idle_timeout.unwrap_or(ROUND);
        let round = (idle / 2).clamp(Duration::from_millis(10), ROUND);
        loop {
            S::Timer::until(Instant::now() + round).await;
            self.sweep(Instant::now());
        }
    }

    fn sweep(&self, now: Instant) {
        let limit = self.keepalive.idle_timeout.unwrap_or(Duration::MAX);
        let mut state = self.state();
        let over = |idle: &mut Idle<S>| {
            now.saturating_duration_since(idle.since) >= limit || !is_quiet(&mut idle.connection.io)
        };
        let ended = state.idle.iter_mut().filter_map(|(key, idle)| over(idle).then_some(*key));
        let ended: Vec<u64> = ended.collect();
        ended.into_iter().for_each(|key| state.remove(key));
        // Taking leaves the list of an address, for its connection soon comes back; not for ever.
        state.by_address.retain(|_, keys| !keys.is_empty());
    }

    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> State<S> {
    fn take(&mut self, address: SocketAddr) -> Option<Pooled<S>> {
        let key = self.by_address.get_mut(&address)?.pop_back()?;
        self.idle.remove(&key).map(|idle| idle.connection)
    }

    fn keep(&mut self, idle: Idle<S>) {
        let key = self.next;
        self.next += 1;
        self.by_address.entry(idle.address).or_default().push_back(key);
        self.idle.insert(key, idle);
    }

    fn remove_oldest(&mut self) {
        if let Some(key) = self.idle.first_key_value().map(|(key, _)| *key) {
            self.remove(key);
        }
    }

    fn remove(&mut self, key: u64) {
        let Some(Idle { address, .. }) = self.idle.remove(&key) else { return };
        let Some(keys) = self.by_address.get_mut(&address) else { return };
        if let Ok(at) = keys.binary_search(&key) {
            keys.remove(at);
        }
        if keys.is_empty() {
            self.by_address.remove(&address);
        }
    }
}

/// Whether an idle connection has neither ended nor said anything, which nobody had asked for. Asks the
/// system only where something is said to have come.
fn is_quiet(io: &mut impl Transport) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    if io.poll_readable(&mut cx).is_pending() {
        return true;
    }
    let mut byte = [0];
    let mut read = ReadBuf::new(&mut byte);
    matches!(Pin::new(io).poll_read(&mut cx, &mut read), Poll::Pending)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    fn pool(pool_size: usize, max_requests: Option<u32>) -> Pool<TcpStream> {
        let idle_timeout = Some(Duration::from_secs(60));
        Pool::new(Keepalive { pool_size, max_requests, idle_timeout })
    }

    /// Both ends of a connection.
    async fn connected(listener: &TcpListener) -> (TcpStream, TcpStream) {
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    fn keep(pool: &Pool<TcpStream>, port: u16, io: TcpStream, uses: u32) {
        pool.keep(([127, 0, 0, 1], port).into(), Pooled { io, uses }, Instant::now());
    }

    fn take(pool: &Pool<TcpStream>, port: u16) -> Option<u32> {
        pool.take(([127, 0, 0, 1], port).into()).map(|taken| taken.uses)
    }

    #[tokio::test]
    async fn the_last_used_goes_first_and_the_longest_idle_makes_room() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = pool(3, Some(10));
        let mut far = Vec::new();
        for (port, uses) in [(1, 1), (2, 2), (1, 3), (1, 4), (2, 10)] {
            let (near, end) = connected(&listener).await;
            keep(&pool, port, near, uses);
            far.push(end);
        }
        assert_eq!([take(&pool, 1), take(&pool, 1), take(&pool, 1)], [Some(4), Some(3), None]);
        assert_eq!([take(&pool, 2), take(&pool, 2), take(&pool, 3)], [Some(2), None, None]);
    }

    #[tokio::test]
    async fn what_has_ended_or_speaks_unasked_is_not_handed_out() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = pool(3, None);
        let (near, far) = connected(&listener).await;
        keep(&pool, 1, near, 1);
        let (near, mut speaks) = connected(&listener).await;
        keep(&pool, 2, near, 1);
        drop(far);
        speaks.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
        // What the kernel knows of the ends reaches the runtime when it next looks.
        while pool.state().idle.values_mut().any(|idle| is_quiet(&mut idle.connection.io)) {
            tokio::task::yield_now().await;
        }
        assert_eq!([take(&pool, 1), take(&pool, 2)], [None, None]);
        let (near, _far) = connected(&listener).await;
        keep(&pool, 1, near, 7);
        assert_eq!(take(&pool, 1), Some(7));
    }

    #[tokio::test]
    async fn an_address_that_nobody_is_idle_at_is_forgotten() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = pool(3, None);
        let (near, _far) = connected(&listener).await;
        keep(&pool, 1, near, 1);
        assert_eq!(take(&pool, 1), Some(1));
        pool.sweep(Instant::now());
        assert!(pool.state().by_address.is_empty());
    }

    #[tokio::test]
    async fn a_round_leaves_what_may_still_be_used() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = pool(3, None);
        let (near, _far) = connected(&listener).await;
        keep(&pool, 1, near, 1);
        let start = Instant::now();
        for (seconds, left) in [(0, 1), (59, 1), (61, 0)] {
            pool.sweep(start + Duration::from_secs(seconds));
            assert_eq!(pool.state().idle.len(), left, "after {seconds} s");
        }
        assert!(pool.state().by_address.is_empty());
    }
}
