//! What time it is, as something a test can decide.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use model::value::Timestamp;

/// Tells the time that goes into `created_at`, `updated_at` and the audit log.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that tells what `now` says.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }

    /// What tells it.
    pub(crate) fn hand(&self) -> &(dyn Fn() -> Timestamp + Send + Sync) {
        &*self.0
    }
}

/// The system's clock.
impl Default for Clock {
    fn default() -> Self {
        Self::new(|| SystemTime::now().into())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now().seconds())
    }
}
