//! What time it is, as messages say it.
//!
//! The text changes once a second, and whoever asks has looked at a clock already: so each thread keeps it,
//! with the instant up to which it is true.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
const LEN: usize = 29;

#[derive(Clone, Copy)]
struct Kept {
    until: Instant,
    text: [u8; LEN],
}

thread_local! {
    static KEPT: Cell<Option<Kept>> = const { Cell::new(None) };
}

/// Gives `take` the value of a `Date` field at `now`, an instant that is just past.
pub(crate) fn with<R>(now: Instant, take: impl FnOnce(&[u8]) -> R) -> R {
    let kept = KEPT.get().filter(|kept| now < kept.until).unwrap_or_else(|| {
        let fresh = printed(now, SystemTime::now());
        KEPT.set(Some(fresh));
        fresh
    });
    take(&kept.text)
}

fn printed(now: Instant, at: SystemTime) -> Kept {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = Duration::from_secs(1) - Duration::from_nanos(since.subsec_nanos().into());
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(since.as_secs()));
    let mut text = [b' '; LEN];
    // Years of more digits than four are not to be said in this form.
    text.iter_mut().zip(date.bytes()).for_each(|(to, byte)| *to = byte);
    Kept { until: now + left, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_true_until_the_second_ends() {
        let now = Instant::now();
        let at = UNIX_EPOCH + Duration::from_millis(784_111_777_250);
        let kept = printed(now, at);
        assert_eq!(kept.text.escape_ascii().to_string(), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(kept.until - now, Duration::from_millis(750));
    }

    #[test]
    fn no_text_is_kept_for_longer() {
        let mut now = Instant::now();
        for _ in 0..3 {
            with(now, |_| ());
            assert!(KEPT.get().is_some_and(|kept| kept.until > now));
            now += Duration::from_secs(2);
        }
    }

    #[test]
    fn it_is_what_the_clock_says() {
        let before = httpdate::fmt_http_date(SystemTime::now());
        let found = with(Instant::now(), |text| String::from_utf8(text.to_vec()).unwrap());
        let after = httpdate::fmt_http_date(SystemTime::now());
        assert!(found == before || found == after, "{before} {found} {after}");
    }
}
