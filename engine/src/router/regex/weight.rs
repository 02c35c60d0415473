//! How much memory expressions take, alone and together.

use super::RegexFault;
use imbl::OrdMap;
use regex_syntax::hir::{Class, Hir, HirKind};

/// What a range of characters takes: some bytes in some order.
pub(super) const RANGE: usize = 100;
/// What an engine takes besides what it counts itself, as measured over 20,000 of them.
pub(super) const ENGINE: usize = 6 << 10;
/// What one expression may take without being large: nearly all with an engine take less.
const USUAL: usize = 16 << 10;

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
    /// What large ones take beyond what is usual.
    excess: usize,
    limits: Limits,
    /// What has been too much, so that nothing more is to be compiled.
    over: Option<RegexFault>,
}

/// How much all may take together: many small ones are a large configuration, a few large
/// ones are a mistake, or an attack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most bytes that all may take.
    pub(crate) total: usize,
    /// The most of these that may be the part of large ones that makes them so.
    pub(crate) excess: usize,
}

#[derive(Clone, Copy, Debug)]
struct Used {
    times: u32,
    weight: usize,
}

impl Account {
    pub(super) fn new(limits: Limits) -> Account {
        Account { used: OrdMap::new(), total: 0, excess: 0, limits, over: None }
    }

    /// What is too much, if anything is.
    pub(super) fn over(&self) -> Option<&RegexFault> {
        self.over.as_ref()
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
        self.excess += weight.saturating_sub(USUAL);
        if self.total > self.limits.total {
            self.over = Some(RegexFault::TooMany(self.limits.total));
        } else if self.excess > self.limits.excess {
            self.over = Some(RegexFault::TooManyLarge(self.limits.excess));
        }
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
        self.excess -= used.weight.saturating_sub(USUAL);
        self.used.remove(&number);
        true
    }
}
