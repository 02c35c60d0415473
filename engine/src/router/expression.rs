//! The language of Kong's `expressions` flavor, such as
//! `http.host == "a.com" && (http.path ^= "/v1" || any(http.queries.v) == "1")`.
//!
//! An [`Expression`] has been checked: every field exists and is compared with what it
//! can be compared with. It matches what Kong 3.10 matches, and records what Kong
//! records. `||` binds tighter than `&&`; a predicate on a field a request does not
//! have is false, even with `!=`.

mod tree; // how predicates are joined
mod syntax; // what was written
mod parse; // text to syntax
mod literal; // its words
mod field; // what can be asked of traffic
mod predicate; // a field and a test
mod check; // syntax to predicates
mod evaluate; // does a request fulfil them?
mod clauses; // which part does it not fulfil?
mod values; // parts of paths and queries
mod anchor; // where a table may look for it
mod mistake; // what can be wrong

pub(super) use anchor::LONGEST as LONGEST_ANCHOR;
pub use anchor::{Anchor, HeaderAnchor, HostAnchor, MOST_ANCHORS, PathAnchor};
pub use clauses::{About, Clause};
pub use field::Kind;
pub use mistake::{Mistake, Problem};
pub use syntax::Operator;

use super::regex::{self, Regex, Regexes};
use super::request::{Fields, RequestView, Scheme};
use evaluate::Reading;
use field::TextField;
use mistake::Mistakes;
use model::entities::HIGHEST_PRIORITY;
use model::value::Protocol;
use predicate::{Predicate, TextPredicate, TextTest};
use std::collections::BTreeMap;
use tree::Tree;

/// Puts an expression before routes without one, but for those whose priority a sign has
/// filled, as in Kong: see `router/rank.rs`.
const EXPRESSIONS_FIRST: u64 = 0xFF << 56;

/// The rank of an expression among all routes; higher goes first.
pub fn rank(priority: u64) -> u64 {
    EXPRESSIONS_FIRST | priority.min(HIGHEST_PRIORITY as u64)
}

/// What an expression is about, which decides what fields there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Requests, gRPC's among them.
    Http,
    /// Streams and datagrams.
    Stream,
}

impl Traffic {
    /// The traffic a scheme belongs to.
    pub fn of(scheme: Scheme) -> Traffic {
        match scheme {
            Scheme::Http | Scheme::Https => Traffic::Http,
            Scheme::Tcp | Scheme::Tls | Scheme::Udp => Traffic::Stream,
        }
    }

    /// The traffic of a route for this protocol.
    pub fn over(protocol: Protocol) -> Traffic {
        if protocol.is_http() { Traffic::Http } else { Traffic::Stream }
    }
}

/// Which requests or streams a route serves. Two are equal if they are written alike.
#[derive(Clone, Debug)]
pub struct Expression {
    text: Box<str>,
    traffic: Traffic,
    tree: Tree<Predicate>,
    /// Whether it has a field that Kong will know no longer.
    is_dated: bool,
    /// Whether its last clause is that of the route's protocols.
    is_narrowed: bool,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Expression) -> bool {
        self.traffic == other.traffic && self.text == other.text
    }
}

impl Eq for Expression {}

/// What is known of a request that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How many bytes a route takes off the path if it strips what it matched; zero if
    /// nothing was recorded. Kong takes as many off the start as the text last found in
    /// the path has, wherever it was: `=^` and an untied `~` count, and so does `==`. It
    /// need not end a character if the path was compared in lower case.
    pub prefix_len: usize,
}

/// What the groups of regular expressions matched. All of an expression share them:
/// what a later one matched replaces what an earlier one did, group by group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    /// By number; the first is the whole match.
    pub numbered: Vec<Option<String>>,
    /// By name. They have numbers as well.
    pub named: BTreeMap<String, String>,
}

impl Expression {
    /// Reads and checks an expression. What is wrong is told together, as far as it could
    /// be read, in the order of the text.
    ///
    /// # Errors
    /// At least one mistake.
    pub fn compile(
        text: &str,
        traffic: Traffic,
        regexes: &Regexes,
    ) -> Result<Expression, Vec<Mistake>> {
        let mut mistakes = Mistakes::in_text(text);
        let (mut tree, mut last, mut is_dated) = (None, None, false);
        match parse::parse(text, &mut mistakes) {
            Ok(syntax) => {
                is_dated = syntax.contains(&|comparison| comparison.field.it == check::OLD_PORT);
                tree = check::check(syntax, traffic, regexes, &mut mistakes);
            }
            Err(mistake) => last = Some(mistake),
        }
        let mistakes = mistakes.into_sorted(last);
        match tree {
            Some(tree) if mistakes.is_empty() => {
                Ok(Expression { text: text.into(), traffic, tree, is_dated, is_narrowed: false })
            }
            _ => Err(mistakes),
        }
    }

    /// The same for these protocols only, which is how Kong takes the protocols of any
    /// route in this flavor; see [`schemes`].
    pub fn only_over(self, protocols: impl IntoIterator<Item = Protocol>) -> Expression {
        let Some(schemes) = schemes(protocols) else { return self };
        let words: Vec<String> =
            schemes.iter().map(|scheme| format!("net.protocol == \"{}\"", word(*scheme))).collect();
        let is = |scheme: &Scheme| {
            let test = TextTest::Is(word(*scheme).into());
            let field = TextField::Protocol;
            Tree::Leaf(Predicate::Text(TextPredicate { field, lower: false, any: false, test }))
        };
        let clause = Tree::join(schemes.iter().map(is).collect(), Tree::Any);
        Expression {
            text: format!("{} && ({})", self.text, words.join(" || ")).into(),
            traffic: self.traffic,
            tree: Tree::All(Box::new([self.tree, clause])),
            is_dated: self.is_dated,
            is_narrowed: true,
        }
    }

    /// Whether it says `net.port`, which Kong calls `net.dst.port` and will know no longer.
    pub fn is_dated(&self) -> bool {
        self.is_dated
    }

    /// How it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it matches a request, and how much of its path. Allocates nothing, but
    /// for text in other than lower case that is compared by `lower` and is long or
    /// not ASCII.
    pub fn find<F: Fields>(&self, request: &RequestView<'_, F>) -> Option<Outcome> {
        let mut reading = Reading::new(request, None);
        let prefix_len = reading.fulfils(&self.tree).ok()?.then_some(reading.recorded)?;
        Some(Outcome { prefix_len: prefix_len.min(request.path.len()) })
    }

    /// Whether it has a regular expression with groups, so that there may be captures.
    pub fn has_groups(&self) -> bool {
        self.tree.contains(&|predicate| predicate.regex().is_some_and(Regex::has_groups))
    }

    /// What its regular expressions captured of a request that it matches; none if no
    /// group took part, as in Kong.
    pub fn captures<F: Fields>(&self, request: &RequestView<'_, F>) -> Option<Captures> {
        if !self.has_groups() {
            return None;
        }
        let mut reading = Reading::new(request, Some(Captures::default()));
        let matches = reading.fulfils(&self.tree).is_ok_and(|fulfils| fulfils);
        let captures = reading.captures.filter(|_| matches)?;
        captures.numbered.iter().skip(1).any(Option::is_some).then_some(captures)
    }

    /// Says that its regular expressions are not used for it any more.
    pub(crate) fn give_back(&self, regexes: &Regexes) {
        self.tree.each(&mut |predicate| {
            if let Some(regex) = predicate.regex() {
                regexes.give_back(regex);
            }
        });
    }

    /// Conditions of which one at least is met by every request that it matches: where
    /// a table needs to look for it. None at all if it matches nothing; one that says
    /// nothing if it might match anything.
    pub fn anchors(&self) -> Vec<Anchor> {
        anchor::anchors(&self.tree)
    }
}

impl Captures {
    /// Takes in a match. Groups that took no part leave what was there.
    fn record(&mut self, found: &regex::Captures<'_, '_>) {
        let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
        for (group, part) in found.numbered() {
            if self.numbered.len() <= group {
                self.numbered.resize(group + 1, None);
            }
            if let Some(known) = self.numbered.get_mut(group) {
                *known = Some(text(part));
            }
        }
        for (name, part) in found.named() {
            self.named.insert(name.to_owned(), text(part));
        }
    }
}

/// The schemes that a route for these protocols serves in this flavor, or none if it is
/// not asked: a route for TLS only must match without TLS as well, so that it can
/// redirect, or take what is not opened here.
pub fn schemes(protocols: impl IntoIterator<Item = Protocol>) -> Option<Vec<Scheme>> {
    let protocols: Vec<Protocol> = protocols.into_iter().collect();
    if let [] | [Protocol::Https | Protocol::Tls | Protocol::TlsPassthrough] = *protocols {
        return None;
    }
    let scheme = |protocol: &Protocol| match protocol {
        Protocol::Http | Protocol::Grpc => Scheme::Http,
        Protocol::Https | Protocol::Grpcs => Scheme::Https,
        Protocol::Tcp | Protocol::TlsPassthrough => Scheme::Tcp,
        Protocol::Tls => Scheme::Tls,
        Protocol::Udp => Scheme::Udp,
    };
    Some(protocols.iter().map(scheme).collect())
}

/// A scheme as `net.protocol` has it.
fn word(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
        Scheme::Tcp => "tcp",
        Scheme::Tls => "tls",
        Scheme::Udp => "udp",
    }
}
