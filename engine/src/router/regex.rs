//! Regular expressions of routes: for paths, after `~`, for header values, after `~*`, and
//! in expressions.
//!
//! All run in linear time, in the dialect of the `regex` crate, which is Kong 3.10's
//! dialect for routes too. What they compile to is limited, so that no configuration
//! can fill the memory of a node with one line. Routes that have the same expression
//! share it: see [`Regexes`].

mod ascii; // what an expression comes to in texts that are ASCII
mod segments; // those of paths with parameters, without an engine
mod skeleton; // where in a tree of paths it belongs

pub(super) use skeleton::{END, after_marks, is_mark};

use regex_automata::meta;
use regex_automata::util::captures;
use regex_automata::util::primitives::PatternID;
use regex_syntax::ParserBuilder;
use regex_syntax::ast::{self, ErrorKind};
use regex_syntax::hir::Hir;
use segments::Segments;
use skeleton::Skeleton;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// The most bytes one expression may take once compiled: the limit Kong's matcher has.
const LARGEST: usize = 10 << 20;
/// The most bytes of states that a search keeps, for each thread and expression. With
/// fewer it is slower, never wrong.
const LARGEST_CACHE: usize = 1 << 20;

/// An expression that is found in texts. It is compiled with the table, since workers have
/// better things to do: some 10 µs each (benches/compile.rs).
#[derive(Debug)]
pub(super) struct Regex {
    source: Box<str>,
    kind: Kind,
    /// Matches what the expression matches in texts that are ASCII. `\w` and its like are a
    /// hundred times smaller so, and nearly all texts are.
    ascii: meta::Regex,
    /// For all other texts, if it makes a difference: compiled when one comes, a
    /// millisecond, once.
    full: Option<OnceLock<Option<meta::Regex>>>,
    /// What tells the same of such a text without an engine, if it is simple.
    segments: Option<Segments>,
    skeleton: Skeleton,
    /// About how many bytes it takes once compiled.
    weight: usize,
}

/// What an expression is matched with.
#[derive(Clone, Copy, Debug)]
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

impl PartialEq for Regex {
    fn eq(&self, other: &Regex) -> bool {
        self.source == other.source
    }
}

impl Eq for Regex {}

impl Regex {
    fn for_paths(source: &str) -> Result<Regex, RegexFault> {
        Regex::of(source, Kind::Path)
    }

    fn for_values(source: &str) -> Result<Regex, RegexFault> {
        Regex::of(source, Kind::Value)
    }

    fn for_expressions(source: &str) -> Result<Regex, RegexFault> {
        Regex::of(source, Kind::Field)
    }

    fn of(source: &str, kind: Kind) -> Result<Regex, RegexFault> {
        let hir = kind.parse(source)?;
        let weight = ascii::weight(&hir);
        if weight > LARGEST {
            return Err(RegexFault::TooLarge);
        }
        let only_ascii = ascii::narrowed(&hir);
        let full = (only_ascii != hir).then(OnceLock::new);
        let segments = Segments::of(&only_ascii);
        let ascii = build(&only_ascii, LARGEST)?;
        let skeleton = Skeleton::of(&hir, segments.as_ref());
        Ok(Regex { source: source.into(), kind, ascii, full, segments, skeleton, weight })
    }

    /// As it is written.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// About how many bytes it takes once compiled, for texts beyond ASCII as well.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// Whether it has groups besides the whole match.
    pub(super) fn has_groups(&self) -> bool {
        self.ascii.captures_len() > 1
    }

    /// Where in a tree of paths all texts pass that it matches.
    pub(super) fn skeleton(&self) -> &[u8] {
        &self.skeleton.bones
    }

    /// Whether it matches all texts that pass there and are ASCII, up to there.
    pub(super) fn is_spelled(&self) -> bool {
        self.skeleton.is_complete
    }

    /// The bytes that all texts it matches start with; often all up to the first group.
    pub(super) fn literal(&self) -> &[u8] {
        self.skeleton.bones.split(|byte| is_mark(*byte)).next().unwrap_or_default()
    }

    #[inline]
    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        match &self.segments {
            Some(segments) if text.is_ascii() => segments.match_len(text).is_some(),
            _ => self.for_text(text).is_match(text),
        }
    }

    /// How many bytes it matches, if it does.
    #[inline]
    pub(super) fn match_len(&self, text: &[u8]) -> Option<usize> {
        match &self.segments {
            Some(segments) if text.is_ascii() => segments.match_len(text),
            _ => self.for_text(text).find(text).map(|found| found.len()),
        }
    }

    /// What its groups match; none if it has no groups.
    pub(super) fn captures<'t, 'p>(&'t self, text: &'p [u8]) -> Option<Captures<'t, 'p>> {
        if self.has_groups() { self.search(text) } else { None }
    }

    /// What it matches, and its groups if it has any.
    pub(super) fn search<'t, 'p>(&'t self, text: &'p [u8]) -> Option<Captures<'t, 'p>> {
        let regex = self.for_text(text);
        let mut found = regex.create_captures();
        regex.captures(text, &mut found);
        found.is_match().then_some(Captures { regex, text, found })
    }

    #[inline]
    fn for_text(&self, text: &[u8]) -> &meta::Regex {
        match &self.full {
            Some(full) if !text.is_ascii() => {
                full.get_or_init(|| self.whole()).as_ref().unwrap_or(&self.ascii)
            }
            _ => &self.ascii,
        }
    }

    /// None if it is too large after all. Its weight has been looked at, so that takes an
    /// expression nobody would write.
    fn whole(&self) -> Option<meta::Regex> {
        let whole = self.kind.parse(&self.source).and_then(|hir| build(&hir, 4 * LARGEST));
        let source = &self.source;
        whole
            .inspect_err(|fault| {
                tracing::error!("the regular expression `{source}` sees only ASCII: it {fault}");
            })
            .ok()
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

/// The parts of a text that the groups of a regular expression matched.
#[derive(Debug)]
pub(super) struct Captures<'t, 'p> {
    regex: &'t meta::Regex,
    text: &'p [u8],
    found: captures::Captures,
}

impl<'t, 'p> Captures<'t, 'p> {
    /// What a group matched, counted from 1 by its parenthesis; 0 is the whole match. None
    /// if there is no such group or it took no part, which is not the same as matching
    /// nothing.
    pub(super) fn get(&self, group: usize) -> Option<&'p [u8]> {
        self.text.get(self.found.get_group(group)?.range())
    }

    /// How many groups there are, the whole match among them.
    pub(super) fn len(&self) -> usize {
        self.found.group_len()
    }

    /// What the group of this name matched.
    pub(super) fn name(&self, name: &str) -> Option<&'p [u8]> {
        self.text.get(self.found.get_group_by_name(name)?.range())
    }

    /// What each group matched, by its number; those that took no part are left out.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (usize, &'p [u8])> {
        (0..self.len()).filter_map(|group| Some((group, self.get(group)?)))
    }

    /// What each group that has a name matched; those that took no part are left out.
    pub(super) fn named(&self) -> impl Iterator<Item = (&'t str, &'p [u8])> {
        let names = self.regex.group_info().pattern_names(PatternID::ZERO).flatten();
        names.filter_map(|name| Some((name, self.name(name)?)))
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
        .nfa_size_limit(Some(largest))
        .hybrid_cache_capacity(LARGEST_CACHE);
    let built = meta::Builder::new().configure(config).build_from_hir(hir);
    built.map_err(|error| match error.size_limit() {
        Some(_) => RegexFault::TooLarge,
        None => RegexFault::Syntax(error.to_string()),
    })
}

/// Why a regular expression cannot be used, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegexFault {
    /// `(?=…)`, `(?!…)`, `(?<=…)` or `(?<!…)`.
    #[error(
        "looks around, which matching in linear time cannot; instead of excluding paths, give \
         them a route of their own with a higher `regex_priority` or `priority`, and instead of \
         looking ahead, match what follows"
    )]
    LookAround,
    /// `\1` or `\k<name>`.
    #[error(
        "refers back to a group, which matching in linear time cannot; write the alternatives \
         out, as in `(a/a|b/b)`"
    )]
    Backreference,
    /// `(?>…)`.
    #[error(
        "has an atomic group or an unknown flag; nothing is ever matched twice here, so `(?:…)` \
         does the same as `(?>…)`"
    )]
    AtomicGroup,
    /// An escape of another dialect.
    #[error(
        "has an escape that is not known; write `\\z` for `\\Z`, `[ \\t]` for `\\h`, `\\A` for \
         `\\G`, and a letter that stands for itself without the backslash"
    )]
    Escape,
    /// It takes more memory than is allowed.
    #[error(
        "takes more than {LARGEST} bytes once compiled; make counted repetitions smaller, or \
         write `[0-9A-Za-z_]` for `\\w` and `[0-9]` for `\\d`, which without that are all of Unicode's"
    )]
    TooLarge,
    /// It is none, in any dialect.
    #[error("is not well-formed: {0}")]
    Syntax(String),
}

impl RegexFault {
    fn of(error: &ast::Error) -> RegexFault {
        match error.kind() {
            ErrorKind::UnsupportedLookAround => RegexFault::LookAround,
            ErrorKind::UnsupportedBackreference => RegexFault::Backreference,
            ErrorKind::FlagUnrecognized => RegexFault::AtomicGroup,
            // PCRE's way to refer to a group by name.
            ErrorKind::EscapeUnrecognized if refers_back(error) => RegexFault::Backreference,
            ErrorKind::EscapeUnrecognized => RegexFault::Escape,
            kind => RegexFault::Syntax(kind.to_string()),
        }
    }
}

fn refers_back(error: &ast::Error) -> bool {
    let span = error.span();
    matches!(error.pattern().get(span.start.offset..span.end.offset), Some("\\k" | "\\g"))
}

/// Every regular expression in use, so that equal ones are compiled once. A clone is
/// the same pool; it forgets what nobody uses any more.
#[derive(Clone, Debug, Default)]
pub struct Regexes(Arc<Mutex<Pool>>);

#[derive(Debug, Default)]
struct Pool {
    paths: Known,
    values: Known,
    expressions: Known,
}

#[derive(Debug, Default)]
struct Known {
    regexes: HashMap<Box<str>, Weak<Regex>>,
    /// How many there may be before those that are gone are swept out.
    bound: usize,
}

impl Regexes {
    pub(super) fn for_paths(&self, text: &str) -> Result<Arc<Regex>, RegexFault> {
        self.pool(|pool| pool.paths.get_or_make(text, Regex::for_paths))
    }

    pub(super) fn for_values(&self, text: &str) -> Result<Arc<Regex>, RegexFault> {
        self.pool(|pool| pool.values.get_or_make(text, Regex::for_values))
    }

    pub(super) fn for_expressions(&self, text: &str) -> Result<Arc<Regex>, RegexFault> {
        self.pool(|pool| pool.expressions.get_or_make(text, Regex::for_expressions))
    }

    fn pool<T>(&self, look: impl FnOnce(&mut Pool) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn get_or_make(
        &mut self,
        text: &str,
        make: fn(&str) -> Result<Regex, RegexFault>,
    ) -> Result<Arc<Regex>, RegexFault> {
        if let Some(regex) = self.regexes.get(text).and_then(Weak::upgrade) {
            return Ok(regex);
        }
        let regex = Arc::new(make(text)?);
        if self.regexes.len() >= self.bound {
            self.regexes.retain(|_, regex| regex.strong_count() > 0);
            self.bound = 2 * self.regexes.len() + 16;
        }
        self.regexes.insert(text.into(), Arc::downgrade(&regex));
        Ok(regex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_apart() {
        let fault = |text: &str| Regex::for_paths(text).unwrap_err();
        for text in ["/(?!a)", "/(?=a)", "/(?<!a)", "/(?<=a)"] {
            assert_eq!(fault(text), RegexFault::LookAround, "{text}");
        }
        for text in ["/(a)\\1", "/(?<n>a)\\k<n>", "/(a)\\g1"] {
            assert_eq!(fault(text), RegexFault::Backreference, "{text}");
        }
        assert_eq!(fault("/(?>a)"), RegexFault::AtomicGroup);
        assert_eq!(fault("/a\\Z"), RegexFault::Escape);
        assert_eq!(fault("/\\w{2000}"), RegexFault::TooLarge);
        assert_eq!(fault("/(a"), RegexFault::Syntax("unclosed group".to_owned()));
    }

    #[test]
    fn texts_beyond_ascii_match_as_well() {
        let regex = Regex::for_paths(r"/(\w+)/[^/]\b(x|é)?").unwrap();
        let whole = regex::bytes::Regex::new(r"^/(\w+)/[^/]\b(x|é)?").unwrap();
        for text in ["/a1/b/", "/é1/b", "/a/é", "/a/éé", "/a/aé"] {
            let expected = whole.captures(text.as_bytes());
            let found = regex.captures(text.as_bytes());
            assert_eq!(found.is_some(), expected.is_some(), "{text}");
            for group in 0..3 {
                let expected = expected.as_ref().and_then(|found| found.get(group));
                let found = found.as_ref().and_then(|found| found.get(group));
                assert_eq!(found, expected.map(|part| part.as_bytes()), "{text} {group}");
            }
        }
        assert!(Regex::for_values("^É$").unwrap().is_match("é".as_bytes()));
        assert!(Regex::for_paths("/a[0-9]").unwrap().full.is_none());
    }

    #[test]
    fn equal_expressions_are_one_until_nobody_has_them() {
        let regexes = Regexes::default();
        let first = regexes.for_paths("/a").unwrap();
        assert!(Arc::ptr_eq(&first, &regexes.for_paths("/a").unwrap()));
        assert!(!Arc::ptr_eq(&first, &regexes.for_values("/a").unwrap()));
        for number in 0..1000 {
            regexes.for_paths(&format!("/{number}")).unwrap();
        }
        assert!(Arc::ptr_eq(&first, &regexes.for_paths("/a").unwrap()));
        assert!(regexes.pool(|pool| pool.paths.regexes.len()) < 100);
    }

    #[test]
    fn groups_have_numbers_and_names() {
        let regex = Regex::for_paths("/(?<a>x)(y)?(z*)").unwrap();
        let found = regex.captures(b"/x/rest").unwrap();
        let numbered: Vec<_> = found.numbered().collect();
        assert_eq!(numbered, [(0, &b"/x"[..]), (1, b"x"), (3, b"")]);
        assert_eq!(found.named().collect::<Vec<_>>(), [("a", &b"x"[..])]);
        assert!(Regex::for_paths("/x").unwrap().captures(b"/x").is_none());
    }
}
