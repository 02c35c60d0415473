//! How much of what a data plane says of itself travels and is kept: enough to
//! act on, a few kilobytes at most.
//!
//! The data plane keeps to it when it writes, the control plane when it reads:
//! its memory must not depend on the manners of its peers. Whatever was cut
//! says so, and cutting twice changes nothing.

use std::collections::BTreeMap;

use model::vitals::{Problem, Refusal};

use super::Hello;

/// The longest message of a data plane.
pub const MESSAGE: usize = 64 * 1024;

/// How many problems a refusal lists. Of more, the last place tells how many.
pub const PROBLEMS: usize = 20;

/// The code of the problem that tells how many more there are.
pub const MORE: &str = "more";

/// How many bytes a sentence may have.
const SENTENCE: usize = 512;

/// How many bytes a name may have: a version, a code, a label. Kong's labels have at most 63.
const NAME: usize = 64;

/// How many bytes a host's name may have (RFC 1035 §2.3.4).
const HOSTNAME: usize = 255;

/// How many labels a node may have, as with Kong.
const LABELS: usize = 10;

/// How many plugins and capabilities a node may list.
const LISTED: usize = 100;

/// What ends a text that was cut.
const CUT: &str = "…";

/// What is kept of a hello.
pub fn hello(hello: Hello) -> Hello {
    Hello {
        capabilities: hello.capabilities.into_iter().take(LISTED).map(name).collect(),
        hostname: text(hello.hostname, HOSTNAME),
        version: name(hello.version),
        labels: pairs(hello.labels, LABELS),
        plugins: pairs(hello.plugins, LISTED),
        refused: hello.refused.map(refusal),
        ..hello
    }
}

/// What is kept of a refusal.
pub fn refusal(refusal: Refusal) -> Refusal {
    Refusal { problems: problems(refusal.problems.into_iter()), ..refusal }
}

/// What is kept of a list of problems.
pub fn problems(all: impl ExactSizeIterator<Item = Problem>) -> Vec<Problem> {
    let count = all.len();
    let listed = if count > PROBLEMS { PROBLEMS - 1 } else { count };
    let more = (count > listed).then(|| Problem {
        code: MORE.to_owned(),
        entity: None,
        message: format!("{} more problems are not listed", count - listed),
    });
    let shortened = all.take(listed).map(|problem| Problem {
        code: name(problem.code),
        entity: problem.entity.map(|(kind, id)| (name(kind), id)),
        message: text(problem.message, SENTENCE),
    });
    shortened.chain(more).collect()
}

fn pairs(pairs: BTreeMap<String, String>, most: usize) -> BTreeMap<String, String> {
    pairs.into_iter().take(most).map(|(key, value)| (name(key), name(value))).collect()
}

fn name(name: String) -> String {
    text(name, NAME)
}

fn text(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        text.truncate(text.floor_char_boundary(longest - CUT.len()));
        text.push_str(CUT);
        text.shrink_to_fit();
    }
    text
}

#[cfg(test)]
mod tests {
    use model::RevisionId;
    use uuid::Uuid;

    use super::*;

    fn long(count: usize) -> Refusal {
        let problem = |number: usize| Problem {
            code: "route_pattern".to_owned(),
            entity: Some(("k".repeat(1000), Uuid::from_u128(number as u128))),
            message: "é".repeat(5000),
        };
        Refusal { revision: RevisionId::default(), problems: (0..count).map(problem).collect() }
    }

    #[test]
    fn a_long_refusal_tells_how_much_is_missing() {
        let kept = refusal(long(1000));
        assert_eq!(kept.problems.len(), PROBLEMS);
        let last = kept.problems.last().expect("there is one");
        assert_eq!(
            (last.code.as_str(), &*last.message),
            (MORE, "981 more problems are not listed")
        );
        let first = &kept.problems[0];
        assert!(first.message.len() <= SENTENCE && first.message.ends_with(CUT));
        assert_eq!(first.entity.as_ref().map(|(kind, _)| kind.len()), Some(NAME));
        assert_eq!(refusal(kept.clone()), kept, "cutting twice changes nothing");
    }

    #[test]
    fn what_fits_is_left_alone() {
        let fits = Refusal {
            problems: (0..PROBLEMS)
                .map(|_| Problem { code: "c".into(), entity: None, message: "m".into() })
                .collect(),
            ..long(0)
        };
        assert_eq!(refusal(fits.clone()), fits);
    }
}
