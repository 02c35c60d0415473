//! A growable array in pages that are copied when written to and shared otherwise.
//!
//! A clone costs one pointer per page (about 2,000 in a table of 100,000 routes),
//! a write one page. Values are addressed by `u32`, and
//! a run of freed places is used again by the next run of that size.

use std::array;
use std::sync::Arc;

/// Runs have 1, 2, 4, 8 or 16 places.
const SIZES: usize = 5;

/// The power of two a run of this many places is rounded up to.
pub(super) fn size_for(places: usize) -> u8 {
    places.next_power_of_two().trailing_zeros() as u8
}

#[derive(Clone, Debug)]
pub(super) struct Pages<T, const N: usize> {
    pages: Vec<Arc<[T; N]>>,
    used: u32,
    /// Freed runs, by size.
    free: [Vec<u32>; SIZES],
}

impl<T, const N: usize> Default for Pages<T, N> {
    fn default() -> Self {
        Pages { pages: Vec::new(), used: 0, free: Default::default() }
    }
}

impl<T: Clone + Default, const N: usize> Pages<T, N> {
    /// The value at a place that [`Pages::take`] gave out.
    #[inline]
    pub(super) fn get(&self, at: u32) -> &T {
        &self.pages[at as usize / N][at as usize % N]
    }

    /// The same if there is such a place.
    #[inline]
    pub(super) fn checked(&self, at: u32) -> Option<&T> {
        self.pages.get(at as usize / N).map(|page| &page[at as usize % N])
    }

    /// The same, to be changed: copies the page if it is shared.
    pub(super) fn get_mut(&mut self, at: u32) -> &mut T {
        &mut Arc::make_mut(&mut self.pages[at as usize / N])[at as usize % N]
    }

    /// A run of `1 << size` places; what they hold is left over.
    pub(super) fn take(&mut self, size: u8) -> u32 {
        if let Some(at) = self.free[usize::from(size)].pop() {
            return at;
        }
        let at = self.used;
        self.used = at.checked_add(1 << size).expect("4 billion places do not fit in memory");
        while self.pages.len() * N < self.used as usize {
            self.pages.push(Arc::new(array::from_fn(|_| T::default())));
        }
        at
    }

    /// One place that holds this.
    pub(super) fn put(&mut self, value: T) -> u32 {
        let at = self.take(0);
        *self.get_mut(at) = value;
        at
    }

    /// How many places were ever given out at once.
    #[cfg(test)]
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    /// Gives a run back; nothing may point there any more.
    pub(super) fn free(&mut self, at: u32, size: u8) {
        self.free[usize::from(size)].push(at);
    }
}
