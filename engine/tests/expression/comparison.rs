//! The same as Kong's engine, over random expressions and requests; and no text at all
//! that breaks the parser.

use crate::oracle::{self, Found};
use crate::random::{Dice, expression, mutated, noise, request};
use engine::router::Regexes;
use engine::router::expression::{Anchor, Captures, Expression, MOST_ANCHORS, Traffic};
use std::collections::BTreeMap;

/// How many requests each expression is asked about.
const REQUESTS: usize = 40;

/// How many pairs are compared: 100,000, or `EXPRESSION_COMPARISONS`.
fn comparisons() -> usize {
    let asked = std::env::var("EXPRESSION_COMPARISONS").ok();
    asked.map_or(100_000, |number| number.parse().expect("a number"))
}

#[test]
fn they_match_and_record_what_kong_does() {
    let mut dice = Dice(1);
    let schema = oracle::schema();
    let regexes = Regexes::default();
    let (mut accepted, mut matched, mut captured, mut anchored) = (0, 0, 0, 0);
    for _ in 0..comparisons().div_ceil(REQUESTS) {
        let text = expression(&mut dice);
        let compiled = Expression::compile(&text, Traffic::Http, &regexes);
        let theirs = oracle::accepted(&schema, &text);
        assert_eq!(compiled.is_ok(), theirs.is_some(), "{text}\n{compiled:#?}");
        let (Ok(ours), Some(theirs)) = (compiled, theirs) else { continue };
        let anchors = ours.anchors();
        assert!(anchors.len() <= MOST_ANCHORS, "{text}");
        accepted += 1;
        let is_placed = !anchors.contains(&Anchor::default());
        for _ in 0..REQUESTS {
            let (request, arguments) = request(&mut dice);
            let found = ours.find(&request.view()).map(|outcome| Found {
                recorded: outcome.prefix_len,
                captures: ours.captures(&request.view()).map(keyed),
            });
            let expected = oracle::find(&schema, &theirs, &request, &arguments);
            assert_eq!(found, expected, "{text}\n{request:#?}");
            let clauses = ours.clauses(&request.view());
            let all_hold = clauses.iter().all(|clause| clause.holds);
            assert_eq!(all_hold, expected.is_some(), "{text}\n{clauses:#?}\n{request:#?}");
            let Some(found) = found else { continue };
            let is_anchored = anchors.iter().any(|anchor| anchor.admits(&request.view()));
            assert!(is_anchored, "{text}\n{anchors:#?}\n{request:#?}");
            matched += 1;
            captured += usize::from(found.captures.is_some());
            anchored += usize::from(is_placed);
        }
    }
    // Otherwise little was compared.
    let expressions = comparisons().div_ceil(REQUESTS);
    assert!(accepted > expressions / 2, "{accepted} of {expressions}");
    assert!(matched > accepted * REQUESTS / 5, "{matched} of {accepted}");
    assert!(captured.min(anchored) > matched / 100, "{captured} and {anchored} of {matched}");
}

/// What Kong calls the groups.
fn keyed(captures: Captures) -> BTreeMap<String, String> {
    let numbered = captures.numbered.into_iter().enumerate();
    let numbered = numbered.filter_map(|(at, group)| Some((at.to_string(), group?)));
    numbered.chain(captures.named).collect()
}

#[test]
fn no_text_breaks_the_parser_and_what_kong_accepts_is_accepted() {
    let mut dice = Dice(2);
    let schema = oracle::schema();
    let mut accepted = 0;
    for _ in 0..comparisons().div_ceil(20) {
        let text = if dice.one_in(5) { noise(&mut dice) } else { expression(&mut dice) };
        let text = mutated(&mut dice, &text);
        let compiled = Expression::compile(&text, Traffic::Http, &Regexes::default());
        if let Err(mistakes) = &compiled {
            let lines = text.split('\n').count();
            assert!(!mistakes.is_empty(), "{text}");
            assert!(mistakes.iter().all(|mistake| mistake.line <= lines), "{text}\n{mistakes:?}");
        }
        // Kong's parser panics where its grammar allows for other space, or none.
        let is_kong_safe =
            text.match_indices("not").all(|(at, _)| text[at..].starts_with("not in"));
        if is_kong_safe {
            let theirs = oracle::accepted(&schema, &text);
            assert_eq!(compiled.is_ok(), theirs.is_some(), "{text}\n{compiled:#?}");
        }
        accepted += usize::from(compiled.is_ok());
    }
    assert!(accepted > 0);
}
