//! Would the engine accept this, and which route would it choose? Answered by compiling
//! it on the side.
//!
//! Each rehearsal starts from the last one that went well, so that a control plane
//! that asks before every write pays for what the write changes, and for nothing when it
//! asks about what it has just written.

use super::explain::explain;
use super::{CompileOptions, Snapshot, compile};
use crate::plugins;
use model::explain::{Explanation, Question};
use model::judge::Judge;
use model::vitals::Problem;
use model::{Catalog, Config, Revision, RevisionId};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// The code of a problem that is our mistake, not the operator's.
pub const INTERNAL: &str = "internal";

/// A judge that says what an engine with these options would say. Compiles where it is
/// asked: not for a thread that serves requests.
pub fn judge(options: impl Into<CompileOptions>) -> Arc<dyn Judge> {
    Arc::new(Rehearsal { last: Mutex::new(Snapshot::empty_for(options)) })
}

struct Rehearsal {
    last: Mutex<Arc<Snapshot>>,
}

impl Judge for Rehearsal {
    fn rehearse(&self, config: &Config) -> Result<(), Vec<Problem>> {
        let next = self.compiled(config)?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    fn catalog(&self) -> Catalog {
        plugins::catalog()
    }

    fn explain(&self, config: &Config, question: &Question) -> Result<Explanation, Vec<Problem>> {
        let snapshot = self.compiled(config)?;
        let explanation = explain(&snapshot, question);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
        Ok(explanation)
    }
}

impl Rehearsal {
    fn compiled(&self, config: &Config) -> Result<Arc<Snapshot>, Vec<Problem>> {
        let last = Arc::clone(&self.last.lock().unwrap_or_else(PoisonError::into_inner));
        if last.config.hash() == config.hash() {
            return Ok(last);
        }
        let revision =
            Revision { id: RevisionId::default(), signature: None, config: config.clone() };
        compile_or_say_why(&revision, &last).map(Arc::new)
    }
}

/// Compiles; a panic becomes a problem, so that one revision we cannot cope with does
/// not end the thread that handles the next.
pub(super) fn compile_or_say_why(
    revision: &Revision,
    previous: &Snapshot,
) -> Result<Snapshot, Vec<Problem>> {
    caught(|| compile(revision, previous))
}

fn caught<T>(compile: impl FnOnce() -> Result<T, Vec<Problem>>) -> Result<T, Vec<Problem>> {
    // Sound: whatever a panic leaves half-made is dropped with the closure, and
    // snapshots are immutable.
    catch_unwind(AssertUnwindSafe(compile)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied();
        let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let message = format!("compiling failed: {}", said.unwrap_or("no message"));
        Err(vec![Problem { code: INTERNAL.to_owned(), entity: None, field: None, message }])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_problem() {
        let problems = caught::<()>(|| panic!("on purpose")).expect_err("a problem");
        assert_eq!(problems[0].code, INTERNAL);
        assert_eq!(problems[0].message, "compiling failed: on purpose");
    }
}
