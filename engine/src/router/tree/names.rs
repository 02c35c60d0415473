//! The names of headers that boards ask for, each once and by number: a look-up that
//! comes by a thousand boards reads the name in one place.

use super::board::ShortText;
use crate::router::pages::Pages;
use imbl::OrdMap;

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    numbers: OrdMap<ShortText, u32>,
    names: Pages<Name, 16>,
}

#[derive(Clone, Debug, Default)]
struct Name {
    text: ShortText,
    /// How many entries on boards are found by it.
    uses: u32,
}

impl Names {
    #[inline]
    pub(super) fn get(&self, number: u32) -> &[u8] {
        &self.names.get(number).text
    }

    pub(super) fn number(&self, text: &[u8]) -> Option<u32> {
        self.numbers.get(text).copied()
    }

    /// The number of a name, for one more entry.
    pub(super) fn lend(&mut self, text: &ShortText) -> u32 {
        let number = self.number(text).unwrap_or_else(|| {
            let number = self.names.put(Name { text: text.clone(), uses: 0 });
            self.numbers.insert(text.clone(), number);
            number
        });
        self.names.get_mut(number).uses += 1;
        number
    }

    /// The opposite of [`Names::lend`].
    pub(super) fn give_back(&mut self, number: u32) {
        let name = self.names.get_mut(number);
        name.uses -= 1;
        if name.uses == 0 {
            let Name { text, .. } = std::mem::take(name);
            self.numbers.remove(&text);
            self.names.free(number, 0);
        }
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> u32 {
        self.names.used()
    }
}
