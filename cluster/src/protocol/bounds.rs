//! How much of what a data plane says of itself travels and is kept: enough to
//! act on, 5 KiB at most.
//!
//! The data plane keeps to it when it writes, the control plane when it reads:
//! its memory must not depend on the manners of its peers, and all the rows it
//! has room for ([`crate::server::MOST_DATA_PLANES`]) fit into 80 MiB. Whatever
//! was cut says so, and cutting twice changes nothing.

use std::collections::BTreeMap;

use model::vitals::{Problem, Refusal};

use super::Hello;

/// The longest message of a data plane.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// How many problems a refusal lists. Of more, the last place tells how many.
pub const MAX_PROBLEMS: usize = 20;

/// What those take together in memory. What is listed is a beginning: the data plane has logged them all.
pub const MAX_REFUSAL_BYTES: usize = 2560;

/// The code of the problem that tells how many more there are.
pub const MORE: &str = "more";

/// The longest sentence.
const MAX_SENTENCE_BYTES: usize = 512;

/// The longest name: a version, a code, a label. Kong's labels have at most 63.
const MAX_NAME_BYTES: usize = 64;

/// The longest name of a host (RFC 1035 §2.3.4).
const MAX_HOSTNAME_BYTES: usize = 255;

/// How many labels a node may have, as with Kong.
const MAX_LABELS: usize = 10;

/// How many settings a node may tell.
const MAX_SETTINGS: usize = 20;

/// How many plugins and capabilities a node may list. They are read, but not kept.
const MAX_LISTED: usize = 100;

/// What is set aside of a refusal for the problem that tells how many more there are.
const MORE_BYTES: usize = size_of::<Problem>() + 64;

/// What ends a text that was cut.
const CUT: &str = "…";

/// What is kept of a hello.
pub fn hello(hello: Hello) -> Hello {
    Hello {
        capabilities: hello.capabilities.into_iter().take(MAX_LISTED).map(name).collect(),
        hostname: text(hello.hostname, MAX_HOSTNAME_BYTES),
        version: name(hello.version),
        labels: pairs(hello.labels, MAX_LABELS),
        settings: pairs(hello.settings, MAX_SETTINGS),
        plugins: pairs(hello.plugins, MAX_LISTED),
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
    let mut listed: Vec<_> = all.take(MAX_PROBLEMS).map(shortened).collect();
    if count > listed.len() || listed.iter().map(size).sum::<usize>() > MAX_REFUSAL_BYTES {
        listed.truncate(fitting(&listed));
        listed.push(Problem {
            code: MORE.to_owned(),
            entity: None,
            field: None,
            message: format!("{} more problems are not listed", count - listed.len()),
        });
    }
    listed.shrink_to_fit();
    listed
}

/// How many of these leave room for telling how many more there are.
fn fitting(problems: &[Problem]) -> usize {
    let ends = problems.iter().take(MAX_PROBLEMS - 1).scan(0, |end, problem| {
        *end += size(problem);
        Some(*end)
    });
    ends.take_while(|end| *end <= MAX_REFUSAL_BYTES - MORE_BYTES).count()
}

fn shortened(problem: Problem) -> Problem {
    Problem {
        code: name(problem.code),
        entity: problem.entity.map(|(kind, id)| (name(kind), id)),
        field: problem.field.map(name),
        message: text(problem.message, MAX_SENTENCE_BYTES),
    }
}

/// What a problem takes in memory.
fn size(problem: &Problem) -> usize {
    let kind = problem.entity.as_ref().map_or(0, |(kind, _)| kind.len());
    let field = problem.field.as_ref().map_or(0, String::len);
    size_of::<Problem>() + problem.code.len() + kind + field + problem.message.len()
}

fn pairs(pairs: BTreeMap<String, String>, most: usize) -> BTreeMap<String, String> {
    pairs.into_iter().take(most).map(|(key, value)| (name(key), name(value))).collect()
}

fn name(name: String) -> String {
    text(name, MAX_NAME_BYTES)
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
            field: Some("f".repeat(1000)),
            message: "é".repeat(5000),
        };
        Refusal { revision: RevisionId::default(), problems: (0..count).map(problem).collect() }
    }

    fn short(count: usize) -> Refusal {
        let problem = Problem { code: "c".into(), entity: None, field: None, message: "m".into() };
        Refusal { problems: vec![problem; count], ..long(0) }
    }

    #[track_caller]
    fn check_cut(all: Refusal, listed: usize, says: &str) -> Refusal {
        let kept = refusal(all);
        let (last, rest) = kept.problems.split_last().expect("there is one");
        assert_eq!((rest.len(), &*last.code, &*last.message), (listed, MORE, says));
        assert!(kept.problems.iter().map(size).sum::<usize>() <= MAX_REFUSAL_BYTES);
        assert_eq!(refusal(kept.clone()), kept, "cutting twice changes nothing");
        kept
    }

    #[test]
    fn a_long_refusal_tells_how_much_is_missing() {
        check_cut(short(1000), MAX_PROBLEMS - 1, "981 more problems are not listed");
        let kept = check_cut(long(1000), 3, "997 more problems are not listed");
        let first = &kept.problems[0];
        assert!(first.message.len() <= MAX_SENTENCE_BYTES && first.message.ends_with(CUT));
        assert_eq!(first.entity.as_ref().map(|(kind, _)| kind.len()), Some(MAX_NAME_BYTES));
    }

    #[test]
    fn few_long_problems_are_too_many_as_well() {
        check_cut(long(5), 3, "2 more problems are not listed");
    }

    #[test]
    fn what_fits_is_left_alone() {
        for fits in [short(MAX_PROBLEMS), refusal(long(2))] {
            assert_eq!(refusal(fits.clone()), fits);
        }
    }
}
