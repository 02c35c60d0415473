//! Regular expressions of routes: for paths, after `~`, for header values, after `~*`, and
//! in expressions.
//!
//! All run in linear time, in the dialect of the `regex` crate, which is Kong 3.10's
//! dialect for routes too. They are compiled whole with the table, never by a worker: most
//! need no engine ([`segments`]), and what the others know of Unicode is what they ask
//! ([`alphabet`]), which is little. What each takes is limited, and what all of a revision
//! take ([`Regexes`]), so that no configuration can fill the memory of a node.

mod alphabet; // characters beyond ASCII, as far as they differ
mod segments; // those of paths with parameters, without an engine
mod skeleton; // where in a tree of paths it belongs
mod captures; // what groups matched
mod weight; // how much it takes
mod pool; // all in use, and what they take
mod fault; // what can be wrong

pub(super) use captures::Captures;
pub use fault::RegexFault;
pub use pool::Regexes;
pub(super) use skeleton::{END, after_marks, is_mark};
#[cfg(test)]
pub(crate) use weight::Limits;

use alphabet::{Alphabet, Distinctions, unspelled};
use captures::{Spans, names};
use regex_automata::meta;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::Hir;
use segments::Segments;
use skeleton::Skeleton;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The most bytes one expression may take once compiled: the limit Kong's matcher has.
const LARGEST: usize = 10 << 20;
/// The longest that is read: of what is longer, the text alone would take more than that.
const LONGEST: usize = LARGEST / weight::RANGE;
/// The most bytes of states that a search keeps, for each thread and expression. With
/// fewer it is slower, never wrong.
const LARGEST_CACHE: usize = 1 << 20;

/// An expression that is found in texts.
pub(super) struct Regex {
    source: Box<str>,
    means: Means,
    /// What texts beyond ASCII are spelled in, if it makes a difference.
    alphabet: Option<Arc<Alphabet>>,
    /// The name of each of its groups, the whole match before them.
    names: Box<[Option<Box<str>>]>,
    skeleton: Skeleton,
    /// Tells it from all others of its pool.
    number: u64,
    /// How many bytes it takes, about, its alphabet apart.
    weight: usize,
}

/// What it is matched with.
enum Means {
    Segments(Segments),
    Engine(meta::Regex),
}

/// What an expression is matched with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// Paths. Kong puts `^` before it and no more than that: in `/a|/b` only `/a` must be
    /// at the start.
    Path,
    /// Values of headers, whose case does not count.
    Value,
    /// Fields in expressions of the flavor `expressions`, where it may match anywhere and
    /// nothing but text.
    Field,
}

/// As it is written: programs are long.
impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regex({:?})", self.source)
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Regex) -> bool {
        self.source == other.source
    }
}

impl Eq for Regex {}

impl Regex {
    /// Compiles an expression: some 10 µs each if it needs an engine, 1 if not, but for
    /// those with repetitions of repetitions (benches/compile.rs).
    fn of(
        source: &str,
        kind: Kind,
        number: u64,
        alphabet: impl FnOnce(Distinctions) -> Option<Arc<Alphabet>>,
    ) -> Result<Regex, RegexFault> {
        if source.len() > LONGEST {
            return Err(RegexFault::TooLarge);
        }
        let whole = kind.parse(source)?;
        let alphabet = Distinctions::of(&whole).and_then(alphabet);
        let narrowed = alphabet.as_ref().map(|alphabet| alphabet.narrowed(&whole));
        let means = Means::of(narrowed.as_ref().unwrap_or(&whole))?;
        let skeleton = Skeleton::of(&whole);
        let weight = size_of::<Regex>() + 2 * source.len() + skeleton.bones.len() + means.weight();
        let names = names(&whole);
        Ok(Regex { source: source.into(), means, alphabet, names, skeleton, number, weight })
    }

    /// As it is written.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Whether it has groups besides the whole match.
    pub(super) fn has_groups(&self) -> bool {
        self.names.len() > 1
    }

    /// Where in a tree of paths all texts pass that it matches.
    pub(super) fn skeleton(&self) -> &[u8] {
        &self.skeleton.bones
    }

    /// Whether it matches all texts that pass there and are ASCII, up to there.
    pub(super) fn is_told_by_place(&self) -> bool {
        self.skeleton.is_complete
    }

    /// The bytes that all texts it matches start with; often all up to the first group.
    pub(super) fn literal(&self) -> &[u8] {
        self.skeleton.bones.split(|byte| is_mark(*byte)).next().unwrap_or_default()
    }

    #[inline]
    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        match self.alphabet_for(text) {
            None => self.means.is_match(text),
            Some(alphabet) => self.means.is_match(&alphabet.spelled(text)),
        }
    }

    /// How many bytes it matches, if it does.
    #[inline]
    pub(super) fn match_len(&self, text: &[u8]) -> Option<usize> {
        let Some(alphabet) = self.alphabet_for(text) else {
            return self.means.find(text).map(|found| found.len());
        };
        let Range { start, end } = self.means.find(&alphabet.spelled(text))?;
        Some(unspelled(text, end) - unspelled(text, start))
    }

    /// What its groups match; none if it has no groups.
    pub(super) fn captures<'t, 'p>(&'t self, text: &'p [u8]) -> Option<Captures<'t, 'p>> {
        if self.has_groups() { self.search(text) } else { None }
    }

    /// What it matches, and its groups if it has any.
    pub(super) fn search<'t, 'p>(&'t self, text: &'p [u8]) -> Option<Captures<'t, 'p>> {
        let spans = match self.alphabet_for(text) {
            None => self.means.captures(text)?,
            Some(alphabet) => {
                let mut spans = self.means.captures(&alphabet.spelled(text))?;
                for Range { start, end } in spans.iter_mut().flatten() {
                    (*start, *end) = (unspelled(text, *start), unspelled(text, *end));
                }
                spans
            }
        };
        Some(Captures::new(&self.names, text, spans))
    }

    /// What a text is to be spelled in, if it is.
    #[inline]
    fn alphabet_for(&self, text: &[u8]) -> Option<&Alphabet> {
        self.alphabet.as_deref().filter(|_| !text.is_ascii())
    }
}

impl Means {
    fn of(hir: &Hir) -> Result<Means, RegexFault> {
        if weight::weight(hir) > LARGEST {
            return Err(RegexFault::TooLarge);
        }
        match Segments::of(hir) {
            Some(segments) => Ok(Means::Segments(segments)),
            None => build(hir, LARGEST).map(Means::Engine),
        }
    }

    #[inline]
    fn is_match(&self, text: &[u8]) -> bool {
        match self {
            Means::Segments(segments) => segments.match_len(text).is_some(),
            Means::Engine(engine) => engine.is_match(text),
        }
    }

    #[inline]
    fn find(&self, text: &[u8]) -> Option<Range<usize>> {
        match self {
            Means::Segments(segments) => segments.match_len(text).map(|len| 0..len),
            Means::Engine(engine) => engine.find(text).map(|found| found.range()),
        }
    }

    fn captures(&self, text: &[u8]) -> Option<Spans> {
        match self {
            Means::Segments(segments) => segments.captures(text),
            Means::Engine(engine) => captures::of_engine(engine, text),
        }
    }

    fn weight(&self) -> usize {
        match self {
            Means::Segments(segments) => segments.weight(),
            Means::Engine(engine) => weight::ENGINE + engine.memory_usage(),
        }
    }
}

impl Kind {
    fn parse(self, source: &str) -> Result<Hir, RegexFault> {
        match self {
            Kind::Path => parse(&format!("^{source}"), &of_bytes()),
            Kind::Value => parse(source, of_bytes().case_insensitive(true)),
            Kind::Field => parse(source, &ParserBuilder::new()),
        }
    }
}

/// For expressions that may match what is not UTF-8.
fn of_bytes() -> ParserBuilder {
    let mut parser = ParserBuilder::new();
    parser.utf8(false);
    parser
}

fn parse(text: &str, parser: &ParserBuilder) -> Result<Hir, RegexFault> {
    parser.build().parse(text).map_err(|error| match error {
        regex_syntax::Error::Parse(error) => RegexFault::of(&error),
        regex_syntax::Error::Translate(error) => RegexFault::Syntax(error.kind().to_string()),
        other => RegexFault::Syntax(other.to_string()),
    })
}

/// Compiles an expression. What was parsed is not printed and parsed again, which would
/// take as long as all else.
fn build(hir: &Hir, largest: usize) -> Result<meta::Regex, RegexFault> {
    let config = meta::Config::new()
        .utf8_empty(false)
        // Whole automata would be made for small ones if any crate asked for that feature:
        // 10 → 130 µs and 2 → 6 KB each, and no faster to search.
        .dfa(false)
        .nfa_size_limit(Some(largest))
        .hybrid_cache_capacity(LARGEST_CACHE);
    let built = meta::Builder::new().configure(config).build_from_hir(hir);
    built.map_err(|error| match error.size_limit() {
        Some(_) => RegexFault::TooLarge,
        None => RegexFault::Syntax(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(source: &str, kind: Kind) -> Result<Regex, RegexFault> {
        Regex::of(source, kind, 0, |found| Alphabet::of(&found, 1).map(Arc::new))
    }

    fn for_paths(source: &str) -> Result<Regex, RegexFault> {
        of(source, Kind::Path)
    }

    #[test]
    fn faults_are_told_apart() {
        let fault = |text: &str| for_paths(text).expect_err("a fault");
        for text in ["/(?!a)", "/(?=a)", "/(?<!a)", "/(?<=a)"] {
            assert_eq!(fault(text), RegexFault::LookAround, "{text}");
        }
        for text in ["/(a)\\1", "/(?<n>a)\\k<n>", "/(a)\\g1"] {
            assert_eq!(fault(text), RegexFault::Backreference, "{text}");
        }
        assert_eq!(fault("/(?>a)"), RegexFault::AtomicGroup);
        assert_eq!(fault("/a\\Z"), RegexFault::Escape);
        assert_eq!(fault("/(a?){100000}"), RegexFault::TooLarge);
        assert_eq!(fault("/(?s-u:.)\\w{5000}"), RegexFault::TooLarge);
        assert_eq!(fault(&"a".repeat(LONGEST + 1)), RegexFault::TooLarge);
        assert_eq!(fault("/(a"), RegexFault::Syntax("unclosed group".to_owned()));
    }

    #[test]
    fn groups_have_numbers_and_names() {
        for source in ["/(?<a>x)(y)?(z*)", "/(?<a>x)(?:(y)|)(z*)"] {
            let regex = for_paths(source).unwrap();
            let found = regex.captures(b"/x/rest").unwrap();
            let numbered: Vec<_> = found.numbered().collect();
            assert_eq!(numbered, [(0, &b"/x"[..]), (1, b"x"), (3, b"")]);
            assert_eq!(found.named().collect::<Vec<_>>(), [("a", &b"x"[..])]);
        }
        assert!(for_paths("/x").unwrap().captures(b"/x").is_none());
    }

    #[test]
    fn texts_beyond_ascii_match_as_well() {
        for source in [r"/(\w+)/[^/]\b(x|é)?", r"/(\w+)/[^/](x|é)?", r"/([a-zé]{2})/.(é)"] {
            let regex = for_paths(source).unwrap();
            let whole = whole(source, Kind::Path);
            for text in ["/a1/b/", "/é1/b", "/a/é", "/a/éé", "/a/aé", "/éa/éé", "/łé/1"] {
                let expected = whole.captures(text.as_bytes());
                let found = regex.captures(text.as_bytes());
                assert_eq!(found.is_some(), expected.is_some(), "{source} {text}");
                for group in 0..3 {
                    let expected = expected.as_ref().and_then(|found| found.get(group));
                    let found = found.as_ref().and_then(|found| found.get(group));
                    assert_eq!(found, expected.map(|part| part.as_bytes()), "{source} {text}");
                }
            }
        }
    }

    #[test]
    fn nothing_of_unicode_is_kept_that_makes_no_difference() {
        assert!(for_paths("/a[0-9]").unwrap().alphabet.is_none());
        assert!(for_paths("/a[^/]").unwrap().alphabet.is_some());
        let engine = for_paths(r"/(\w+|\d)/x|y").unwrap();
        assert!(matches!(engine.means, Means::Engine(_)) && engine.weight < 30_000);
        assert!(of("^É$", Kind::Value).unwrap().is_match("é".as_bytes()));
    }

    /// The same whole, as it was written, in the words of the `regex` crate.
    fn whole(source: &str, kind: Kind) -> regex::bytes::Regex {
        let source = match kind {
            Kind::Path => format!("^{source}"),
            Kind::Value => format!("(?i){source}"),
            Kind::Field => source.to_owned(),
        };
        regex::bytes::Regex::new(&source).expect("an expression")
    }

    fn sources() -> impl Strategy<Value = String> {
        let class = prop::sample::select(vec![
            ".",
            r"\w",
            r"\W",
            r"\d",
            r"\D",
            r"\s",
            r"\S",
            r"\pL",
            r"\PL",
            r"\p{Greek}",
            r"\p{Lu}",
            "[^/]",
            "[a-zé]",
            "[^é]",
            "[α-ω]",
            "[^\\x00-\\x7f]",
            r"[\w--\d]",
            r"[^\w/]",
            "[😀-😎]",
            r"[\u{80}-\u{7ff}]",
            r"[\u{d000}-\u{e000}]",
            "(?i:k)",
            "(?i:ß)",
            "(?i:ǆ)",
            "(?-u:[a-z])",
            "(?s:.)",
            "[ſ-ǿ]",
        ]);
        let text = prop::sample::select(vec!["/", "a", "é", "ł", "ελ", "😀", "k", "1", "", "-"]);
        let look = prop::sample::select(vec![
            r"\b",
            r"\B",
            r"\b{start}",
            r"\b{end}",
            r"\b{start-half}",
            r"\b{end-half}",
            "^",
            "$",
            "(?m:^)",
            "(?m:$)",
            r"(?-u:\b)",
            r"(?-u:\B)",
        ]);
        let leaf = prop_oneof![
            4 => class.prop_map(str::to_owned),
            4 => text.prop_map(str::to_owned),
            1 => look.prop_map(str::to_owned),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let times = prop::sample::select(vec!["+", "*", "?", "+?", "*?", "{2}", "{1,3}", "{2,}"]);
            prop_oneof![
                4 => prop::collection::vec(inner.clone(), 1..5).prop_map(|all| all.concat()),
                1 => prop::collection::vec(inner.clone(), 2..4).prop_map(|all| format!("(?:{})", all.join("|"))),
                2 => (inner.clone(), times).prop_map(|(one, times)| format!("(?:{one}){times}")),
                2 => inner.prop_map(|one| format!("({one})")),
            ]
        })
    }

    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            6 => prop::sample::select(vec![
                "/", "a", "z", "é", "É", "ł", "ε", "λ", "Ω", "😀", "😎", "中", "k", "K", "\u{212a}", "1",
                "٣", "ß", "ẞ", "ǆ", "ǅ", "-", "_", " ", "\n", "\u{a0}", "\u{301}", "\u{7f}", "\u{80}",
                "\u{7ff}", "\u{800}", "\u{d7ff}", "\u{e000}", "\u{ffff}", "\u{10000}", "\u{10ffff}",
            ]).prop_map(|part| part.as_bytes().to_vec()),
            1 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
            1 => prop::sample::select(vec![&b"\xff"[..], b"\xc3", b"\xe1\x80", b"\x80", b"\xed\xa0\x80"])
                .prop_map(<[u8]>::to_vec),
        ];
        prop::collection::vec(part, 0..9).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Whatever a text has, and whatever an expression makes of it.
        #[test]
        fn it_matches_as_it_is_written(
            source in sources(),
            kind in prop::sample::select(vec![Kind::Path, Kind::Value, Kind::Field]),
            texts in prop::collection::vec(texts(), 12),
        ) {
            let regex = of(&source, kind).expect("small");
            let whole = whole(&source, kind);
            for text in texts {
                if kind == Kind::Field && std::str::from_utf8(&text).is_err() {
                    continue;
                }
                let said = format!("{source} {kind:?} {:?}", String::from_utf8_lossy(&text));
                let expected = whole.captures(&text);
                let found = regex.search(&text);
                prop_assert_eq!(regex.is_match(&text), expected.is_some(), "{}", said);
                let len = expected.as_ref().map(|all| all[0].len());
                prop_assert_eq!(regex.match_len(&text), len, "{}", said);
                for group in 0..whole.captures_len() {
                    let expected = expected.as_ref().and_then(|all| all.get(group));
                    let found = found.as_ref().and_then(|all| all.get(group));
                    prop_assert_eq!(found, expected.map(|part| part.as_bytes()), "{} {}", said, group);
                }
            }
        }
    }
}
