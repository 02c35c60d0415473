//! Errors as a log line tells them.

/// An error with its causes, on one line. A cause that an error has already told in its own words is
/// not told again.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the disk is full")]
    struct Full;

    #[derive(Debug, thiserror::Error)]
    enum Failed {
        #[error("{0}")]
        Told(#[source] Full),
        #[error("not written")]
        Linked(#[source] Full),
    }

    #[test]
    fn every_cause_is_told_once() {
        assert_eq!(chain(&Failed::Linked(Full)), "not written: the disk is full");
        assert_eq!(chain(&Failed::Told(Full)), "the disk is full");
    }
}
