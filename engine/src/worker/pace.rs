//! How many handshakes advance in one turn of a worker's loop.
//!
//! A handshake costs as much as a hundred requests. When many clients connect at once, those
//! that are being served would wait for all of them; so only a few handshakes go on in each
//! turn, and the others wait for the next, in order.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::sync::Notify;

/// Hands out turns to a worker's handshakes.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    // Never contended: all of it happens on one thread.
    state: Mutex<State>,
    spent: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// How many have gone on in this turn.
    gone_on: usize,
    /// Those that wait, first come first.
    waiting: BTreeMap<u64, Waker>,
    next: u64,
}

impl Pace {
    /// In one turn of the loop.
    const PER_TURN: usize = 2;

    /// Begins a new turn whenever the last one is used up. Runs as long as its worker. `turn` is over when
    /// the runtime has let everybody go on, those that wait for the kernel included.
    pub(super) async fn keep(self: Arc<Self>, turn: impl AsyncFn()) {
        loop {
            self.spent.notified().await;
            // What the last turn woke runs first, then whatever the sockets have.
            while self.is_spent() {
                turn().await;
                self.begin_turn();
            }
        }
    }

    /// Lets `step` go on only when it has a turn.
    pub(crate) async fn paced<F: Future>(&self, step: F) -> F::Output {
        let mut place = Place { pace: self, number: None };
        let mut step = pin!(step);
        poll_fn(|cx| if place.has_turn(cx) { step.as_mut().poll(cx) } else { Poll::Pending }).await
    }

    fn is_spent(&self) -> bool {
        let state = self.state();
        state.gone_on >= Pace::PER_TURN || !state.waiting.is_empty()
    }

    fn begin_turn(&self) {
        let mut state = self.state();
        state.gone_on = 0;
        for _ in 0..Pace::PER_TURN {
            if let Some((_, waker)) = state.waiting.pop_first() {
                waker.wake();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handshake's place in the queue, given up when it is done or dropped.
struct Place<'a> {
    pace: &'a Pace,
    number: Option<u64>,
}

impl Place<'_> {
    fn has_turn(&mut self, cx: &mut Context<'_>) -> bool {
        let mut state = self.pace.state();
        if state.gone_on < Pace::PER_TURN {
            state.gone_on += 1;
            if let Some(number) = self.number.take() {
                state.waiting.remove(&number);
            }
            if state.gone_on == Pace::PER_TURN {
                self.pace.spent.notify_one();
            }
            return true;
        }
        let fresh = state.next;
        let number = *self.number.get_or_insert(fresh);
        state.next += u64::from(number == fresh);
        state.waiting.insert(number, cx.waker().clone());
        self.pace.spent.notify_one();
        false
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.pace.state().waiting.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::ring::{self, Driver, Turns};
    use futures::future::select;
    use std::cell::Cell;
    use std::rc::Rc;
    use tokio::sync::oneshot;
    use tokio::task::{LocalSet, yield_now};

    /// A step of work that is never done, and counts.
    async fn work(steps: Rc<Cell<usize>>, times: usize) {
        let mut left = times;
        poll_fn(|cx: &mut Context<'_>| {
            steps.set(steps.get() + 1);
            left -= 1;
            cx.waker().wake_by_ref();
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    #[tokio::test]
    async fn two_go_on_per_turn_and_all_get_there() {
        let local = LocalSet::new();
        local
            .run_until(async {
                let pace = Arc::new(Pace::default());
                let keeper = tokio::task::spawn_local(pace.clone().keep(yield_now));
                let steps = Rc::new(Cell::new(0));
                let tasks: Vec<_> = (0..50)
                    .map(|_| {
                        let (pace, steps) = (pace.clone(), steps.clone());
                        tokio::task::spawn_local(async move { pace.paced(work(steps, 3)).await })
                    })
                    .collect();
                let mut most = 0;
                while steps.get() < 150 {
                    let before = steps.get();
                    yield_now().await;
                    most = most.max(steps.get() - before);
                }
                assert!(most <= 2 * Pace::PER_TURN, "{most} at once");
                for task in tasks {
                    task.await.unwrap();
                }
                keeper.abort();
            })
            .await;
    }

    #[tokio::test]
    async fn who_gives_up_keeps_nobody_waiting() {
        let pace = Arc::new(Pace::default());
        let keeper = tokio::spawn(pace.clone().keep(yield_now));
        for _ in 0..100 {
            let waits = pace.paced(std::future::pending::<()>());
            let _given_up = tokio::time::timeout(std::time::Duration::ZERO, waits).await;
        }
        pace.paced(std::future::ready(())).await;
        keeper.abort();
    }

    /// Where nothing completes while a task is ready to go on, a turn that only steps aside would have
    /// the kernel wait for all of them.
    #[test]
    fn who_waits_for_the_kernel_goes_on_between_turns() {
        const STEPS: usize = 50 * 3;
        for driver in [ring::probe().driver, Driver::Epoll] {
            let before = ring::run(driver, async |_| {
                let (pace, turns) = (Arc::new(Pace::default()), Turns::new());
                let steps = Rc::new(Cell::new(0));
                let (stop, stopped) = oneshot::channel::<()>();
                let kept = pace.clone();
                ring::spawn(async move {
                    select(pin!(kept.keep(async || turns.end().await)), stopped).await;
                });
                let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
                let near = monoio::net::UnixStream::from_std(near).unwrap();
                let mut far = Some(far);
                for number in 0..50 {
                    let (pace, steps) = (pace.clone(), steps.clone());
                    let far = far.take_if(|_| number == 10);
                    ring::spawn(async move {
                        pace.paced(std::future::ready(())).await;
                        far.iter()
                            .for_each(|far| std::io::Write::write_all(&mut &*far, b"!").unwrap());
                        pace.paced(work(steps, 3)).await;
                    });
                }
                near.readable(false).await.unwrap();
                let before = steps.get();
                while steps.get() < STEPS {
                    monoio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
                drop(stop);
                ring::step_aside().await;
                before
            });
            let before = before.unwrap();
            assert!(before < STEPS / 2, "{driver}: {before}");
        }
    }
}
