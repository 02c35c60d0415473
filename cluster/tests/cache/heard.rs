//! What a test's own thread logs.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::Once;

thread_local! {
    static HEARD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// To be called before anything is logged, by whichever test comes first: what has been logged to nobody may
/// stay unheard from then on.
pub(super) fn prick_up_ears() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .with_writer(|| Ears)
            .without_time()
            .with_target(false)
            .with_ansi(false)
            .init();
    });
}

/// Runs this and returns what it logs.
pub(super) fn listen<T>(run: impl FnOnce() -> T) -> (String, T) {
    HEARD.take();
    let result = run();
    (String::from_utf8(HEARD.take()).unwrap(), result)
}

struct Ears;

impl Write for Ears {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        HEARD.with_borrow_mut(|heard| heard.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
