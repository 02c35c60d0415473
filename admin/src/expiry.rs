//! What is gone after a while goes from the configuration, so that data planes and the database are rid of
//! it, too.
//!
//! It is not shown, and in nobody's way, from its second on: see [`model::Config::expire`]. Whoever is cut
//! off has it for longer, and knows when it was over.

use std::sync::Arc;
use std::time::Duration;

use model::Revision;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::commit::Committer;
use crate::store::Author;

/// How long to wait at most before the clock is asked again, which may be set meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How long to wait until what could not be removed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Has everything removed that is over, when it is. Of several nodes on a database the first one does it,
/// and the others find nothing left to do. Ends with the committer.
pub(crate) async fn sweep(
    committer: Committer,
    mut revisions: watch::Receiver<Arc<Revision>>,
    clock: Clock,
) {
    loop {
        let next = revisions.borrow_and_update().config.next_expiry();
        let left = next.map(|at| at.seconds().saturating_sub(clock.now().seconds()));
        let changed = match left {
            None => revisions.changed().await,
            Some(..=0) => {
                let author = Author { who: "gateway".into(), what: "what was over".into() };
                // Every write does that.
                if committer.write(author, |_, _| Ok(())).await.is_err() {
                    sleep(AGAIN).await; // the log has it
                }
                continue;
            }
            Some(left) => {
                let left = Duration::from_secs(left.unsigned_abs()).min(LOOK_EVERY);
                timeout(left, revisions.changed()).await.unwrap_or(Ok(()))
            }
        };
        if changed.is_err() {
            return;
        }
    }
}
