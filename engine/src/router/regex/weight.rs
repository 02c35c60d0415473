//! How much memory expressions take, alone and together.

use imbl::OrdMap;
use regex_syntax::hir::{Class, Hir, HirKind};

/// What a range of characters takes: some bytes in some order.
pub(super) const RANGE: usize = 100;
/// What an engine takes besides what it counts itself: what it remembers of one search, and
/// where it keeps that.
pub(super) const ENGINE: usize = 2 << 10;

/// About how many bytes an expression takes once compiled, before it is.
pub(super) fn weight(hir: &Hir) -> usize {
    let all = |parts: &[Hir]| parts.iter().map(weight).fold(0, usize::saturating_add);
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => class.ranges().len() * RANGE,
        HirKind::Class(Class::Bytes(class)) => class.ranges().len() * RANGE,
        HirKind::Literal(literal) => literal.0.len() * RANGE,
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            weight(&repetition.sub).saturating_mul(times as usize)
        }
        HirKind::Capture(capture) => weight(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => all(parts),
        HirKind::Look(_) | HirKind::Empty => 0,
    }
}

/// What the regular expressions of one configuration take, each counted once however often
/// it is used, and likewise what they share. A clone shares what does not change.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// By the number of what is used.
    used: OrdMap<u64, Used>,
    total: usize,
    /// The most that it may be.
    most: usize,
    /// Whether it has been more, so that nothing more is to be compiled.
    pub(super) is_over: bool,
}

#[derive(Clone, Copy, Debug)]
struct Used {
    times: u32,
    weight: usize,
}

impl Account {
    pub(super) fn new(most: usize) -> Account {
        Account { used: OrdMap::new(), total: 0, most, is_over: false }
    }

    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// Counts one use more; whether it is the first.
    pub(super) fn take(&mut self, number: u64, weight: usize) -> bool {
        if let Some(used) = self.used.get_mut(&number) {
            used.times += 1;
            return false;
        }
        self.used.insert(number, Used { times: 1, weight });
        self.total += weight;
        self.is_over |= self.total > self.most;
        true
    }

    /// Counts one use less; whether it was the last.
    pub(super) fn give_back(&mut self, number: u64) -> bool {
        let Some(used) = self.used.get_mut(&number) else { return false };
        used.times -= 1;
        if used.times > 0 {
            return false;
        }
        self.total -= used.weight;
        self.used.remove(&number);
        true
    }
}
