//! What goes into a log line: an error with its causes, a peer's words made harmless.

pub(crate) use model::causes::chain;

/// How many characters of a peer's words are logged.
const MAX_LOGGED_CHARS: usize = 1024;

/// A peer's words: one line, of bounded length.
pub(crate) fn printable(text: &str) -> String {
    text.chars().take(MAX_LOGGED_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_forge_a_line() {
        assert_eq!(printable("dp\n[error] forged\u{1b}[2J"), "dp [error] forged [2J");
        assert_eq!(printable(&"x".repeat(5000)).len(), MAX_LOGGED_CHARS);
    }
}
