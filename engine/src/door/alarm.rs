//! One timer for the whole life of a connection.
//!
//! Deadlines mostly move later, request by request, without ever being reached. So
//! the timer is left where it is and only when it goes off is it moved to what the
//! deadline has become: a request costs no registration.

use super::transport::Timer;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::time::{Instant, Sleep};

#[derive(Debug)]
pub(crate) struct Alarm<S = Sleep> {
    sleep: Option<Pin<Box<S>>>,
}

impl<S> Default for Alarm<S> {
    fn default() -> Alarm<S> {
        Alarm { sleep: None }
    }
}

impl<S: Timer> Alarm<S> {
    /// Ready once `deadline` has passed.
    pub(crate) fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(S::until(deadline)));
        // Moved earlier, or found to have gone off for an earlier deadline.
        if deadline < sleep.deadline() || sleep.is_over() {
            sleep.as_mut().move_to(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().move_to(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn goes_off_at_the_deadline_whichever_way_it_moved() {
        let (mut alarm, start) = (Alarm::<Sleep>::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let pending = poll_fn(|cx| Poll::Ready(alarm.poll(after(10), cx).is_pending())).await;
        assert!(pending);
        for (deadline, expected) in [(20, 20), (15, 20), (25, 25), (40, 40)] {
            poll_fn(|cx| alarm.poll(after(deadline), cx)).await;
            assert_eq!(start.elapsed().as_secs(), expected);
        }
        let pending = poll_fn(|cx| Poll::Ready(alarm.poll(after(100), cx).is_pending())).await;
        assert!(pending);
        poll_fn(|cx| alarm.poll(after(50), cx)).await;
        assert_eq!(start.elapsed().as_secs(), 50);
    }
}
