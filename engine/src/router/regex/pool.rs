//! Every regular expression in use, and what they take together.
//!
//! Equal ones are compiled once, for all snapshots that there are. Each snapshot has an
//! account of its own of what it uses: a change gives back what goes before it takes what
//! comes, and costs what it touches. Once an account is over, nothing more is compiled.

use super::alphabet::{Alphabet, Distinctions};
use super::weight::{Account, Limits};
use super::{Kind, Regex, RegexFault};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Those without an engine, as nearly all are, take some 300 bytes: 100,000 of them are 30 MB.
/// Those with one take some 12 KB: there is room for 85,000 that differ. An attack with few
/// large ones ends eight times sooner: docs/decisions/0011.
const LIMITS: Limits = Limits { total: 1 << 30, excess: 128 << 20 };

/// The regular expressions of a configuration. A clone has an account of its own, and
/// compiles what neither uses yet for both.
#[derive(Debug)]
pub struct Regexes {
    pool: Arc<Mutex<Pool>>,
    account: Mutex<Account>,
}

impl Default for Regexes {
    fn default() -> Self {
        Regexes::within(LIMITS)
    }
}

impl Clone for Regexes {
    fn clone(&self) -> Self {
        let account = locked(&self.account).clone();
        Regexes { pool: Arc::clone(&self.pool), account: Mutex::new(account) }
    }
}

impl Regexes {
    /// For expressions that together take no more than this.
    pub(crate) fn within(limits: Limits) -> Regexes {
        Regexes { pool: Arc::default(), account: Mutex::new(Account::new(limits)) }
    }

    pub(in crate::router) fn for_paths(&self, text: &str) -> Result<Arc<Regex>, RegexFault> {
        self.take(text, Kind::Path)
    }

    pub(in crate::router) fn for_values(&self, text: &str) -> Result<Arc<Regex>, RegexFault> {
        self.take(text, Kind::Value)
    }

    pub(in crate::router) fn for_expressions(&self, text: &str) -> Result<Arc<Regex>, RegexFault> {
        self.take(text, Kind::Field)
    }

    /// Says that one use of an expression is no more.
    pub(in crate::router) fn give_back(&self, regex: &Regex) {
        let mut account = locked(&self.account);
        if account.give_back(regex.number)
            && let Some(alphabet) = &regex.alphabet
        {
            account.give_back(alphabet.number());
        }
    }

    /// About how many bytes those of this configuration take.
    pub(crate) fn weight(&self) -> usize {
        locked(&self.account).total()
    }

    fn take(&self, text: &str, kind: Kind) -> Result<Arc<Regex>, RegexFault> {
        let mut account = locked(&self.account);
        let mut pool = locked(&self.pool);
        let regex = match (pool.known(text, kind), account.over()) {
            (Some(regex), _) => regex,
            (None, Some(fault)) => return Err(fault.clone()),
            (None, None) => pool.make(text, kind)?,
        };
        if account.take(regex.number, regex.weight)
            && let Some(alphabet) = &regex.alphabet
        {
            account.take(alphabet.number(), alphabet.weight());
        }
        account.over().cloned().map_or(Ok(regex), Err)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default)]
struct Pool {
    paths: Known<Box<str>, Regex>,
    values: Known<Box<str>, Regex>,
    expressions: Known<Box<str>, Regex>,
    alphabets: Known<Distinctions, Alphabet>,
    /// How many there have been.
    count: u64,
}

impl Pool {
    fn known(&mut self, text: &str, kind: Kind) -> Option<Arc<Regex>> {
        self.of(kind).get(text)
    }

    fn make(&mut self, text: &str, kind: Kind) -> Result<Arc<Regex>, RegexFault> {
        let number = self.number();
        let regex = Regex::of(text, kind, number, |distinctions| self.alphabet(distinctions))?;
        let regex = Arc::new(regex);
        self.of(kind).add(text.into(), &regex);
        Ok(regex)
    }

    fn alphabet(&mut self, distinctions: Distinctions) -> Option<Arc<Alphabet>> {
        if let Some(alphabet) = self.alphabets.get(&distinctions) {
            return Some(alphabet);
        }
        let alphabet = Arc::new(Alphabet::of(&distinctions, self.number())?);
        self.alphabets.add(distinctions, &alphabet);
        Some(alphabet)
    }

    fn of(&mut self, kind: Kind) -> &mut Known<Box<str>, Regex> {
        match kind {
            Kind::Path => &mut self.paths,
            Kind::Value => &mut self.values,
            Kind::Field => &mut self.expressions,
        }
    }

    fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}

/// What somebody uses; it forgets what nobody does any more.
#[derive(Debug)]
struct Known<K, V> {
    all: HashMap<K, Weak<V>>,
    /// How many there may be before those that are gone are swept out.
    bound: usize,
}

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Known { all: HashMap::new(), bound: 0 }
    }
}

impl<K: Eq + Hash, V> Known<K, V> {
    fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.all.get(key).and_then(Weak::upgrade)
    }

    fn add(&mut self, key: K, value: &Arc<V>) {
        if self.all.len() >= self.bound {
            self.all.retain(|_, value| value.strong_count() > 0);
            self.bound = 2 * self.all.len() + 16;
        }
        self.all.insert(key, Arc::downgrade(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(locked(&regexes.pool).paths.all.len() < 100);
    }

    #[test]
    fn what_is_shared_is_counted_once() {
        let regexes = Regexes::default();
        let first = regexes.for_paths(r"/a/\w+").expect("small");
        let alone = regexes.weight();
        let second = regexes.for_paths(r"/b/\w+").expect("small");
        let both = regexes.weight();
        // The alphabet of `\w` is the larger part of one.
        assert!(both < alone + alone / 2, "{alone} {both}");
        regexes.for_paths(r"/b/\w+").expect("small");
        assert_eq!(regexes.weight(), both);
        [&second, &first, &second].into_iter().for_each(|regex| regexes.give_back(regex));
        assert_eq!(regexes.weight(), 0);
    }

    fn within(total: usize, excess: usize) -> Regexes {
        Regexes::within(Limits { total, excess })
    }

    #[test]
    fn nothing_more_is_compiled_once_over() {
        check(within(500_000, usize::MAX), RegexFault::TooMany(500_000));
        check(within(usize::MAX, 300_000), RegexFault::TooManyLarge(300_000));
    }

    #[test]
    fn small_ones_are_not_too_many_large_ones() {
        let regexes = within(usize::MAX, 10_000);
        let take = |number| regexes.for_paths(&format!("/{number}/(a|bc)x"));
        let all: Result<Vec<_>, _> = (0..200).map(take).collect();
        assert!(all.is_ok() && regexes.weight() > 200 * 6_000);
    }

    #[track_caller]
    fn check(regexes: Regexes, expected: RegexFault) {
        let large = |number: usize| regexes.for_paths(&format!("/{number}/([a-z]{{30}}|b){{20}}"));
        let mut taken = Vec::new();
        let fault = (1..100).find_map(|number| match large(number) {
            Ok(regex) => {
                taken.push(regex);
                None
            }
            Err(fault) => Some(fault),
        });
        assert!(taken.len() > 1);
        assert_eq!(fault, Some(expected.clone()));
        let known = locked(&regexes.pool).paths.all.len();
        assert_eq!(large(100).unwrap_err(), expected);
        assert_eq!(locked(&regexes.pool).paths.all.len(), known);
    }
}
