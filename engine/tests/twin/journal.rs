//! The newest lines of what the engines log, for whoever finds something that should not be.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tracing_subscriber::filter::LevelFilter;

/// Older lines are forgotten.
const LINES: usize = 5_000;

static JOURNAL: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

fn journal() -> MutexGuard<'static, VecDeque<String>> {
    JOURNAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on lines are kept.
pub(crate) fn begin() {
    let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(|| Line);
    // Another test of this process may have begun it.
    let _ = lines.with_max_level(LevelFilter::DEBUG).try_init();
}

/// The lines with one of these words.
pub(crate) fn with(words: &[&str]) -> String {
    let has = |line: &&String| words.iter().any(|word| line.contains(word));
    journal().iter().filter(has).map(String::as_str).collect()
}

struct Line;

impl io::Write for Line {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut journal = journal();
        if journal.len() == LINES {
            journal.pop_front();
        }
        journal.push_back(String::from_utf8_lossy(text).into_owned());
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
