//! Adding and removing entries. Both loop rather than recurse, since a path may be
//! long; both keep it true that a node knows the best priority below it, and that a node
//! but for a root has an entry or a child.

use super::node::{Directory, MOST_KEYS, MOST_PREFIX, Node, WIDE};
use super::{Entry, Keys, NONE, Trees};
use crate::router::pages::size_for;
use crate::router::regex::{END, is_mark};

/// Adding.
impl Trees {
    /// Hangs an entry at a prefix, where none is like it. `keys` tells those of any entry.
    pub(in crate::router) fn insert(
        &mut self,
        root: u32,
        prefix: &[u8],
        entry: Entry,
        keys: impl Fn(&Entry) -> Keys,
    ) {
        let priority = entry.rank.priority;
        let mut at = root;
        let mut rest = prefix;
        loop {
            let node = *self.nodes.get(at);
            if node.is_vacant() {
                let head = head_of(rest);
                self.nodes.get_mut(at).set_prefix(head);
                rest = &rest[head.len()..];
            } else {
                let common = node.prefix().iter().zip(rest).take_while(|(a, b)| a == b).count();
                if common < node.prefix().len() {
                    self.split(at, common);
                }
                rest = &rest[common..];
            }
            if node.best < priority {
                self.nodes.get_mut(at).best = priority;
            }
            let Some(&key) = rest.first() else {
                let list = self.link(self.nodes.get(at).list, entry, keys);
                return self.set_list(at, list);
            };
            let kid = self.kid(self.nodes.get(at), key);
            at = kid.unwrap_or_else(|| self.add_kid(at, key));
        }
    }

    /// Leaves the first bytes of the prefix to the node, the rest to an only child.
    fn split(&mut self, at: u32, keep: usize) {
        let node = *self.nodes.get(at);
        let (kept, rest) = node.prefix().split_at(keep);
        let mut above = Node { best: node.best, keys_len: 1, ..Node::default() };
        above.set_prefix(kept);
        let mut below = node;
        below.set_prefix(rest);
        above.keys[0] = below.key();
        above.set_forks(is_mark(below.key()));
        let kid = self.nodes.put(below);
        above.kids = kid;
        *self.nodes.get_mut(at) = above;
        // What was behind a mark may have others, which now are in want of a node that
        // starts with one.
        let head = head_of(rest).len();
        if head < rest.len() {
            self.split(kid, head);
        }
    }

    /// Gives a node a vacant child for paths that go on with this byte.
    fn add_kid(&mut self, at: u32, key: u8) -> u32 {
        if is_mark(key) {
            self.nodes.get_mut(at).set_forks(true);
        }
        let node = *self.nodes.get(at);
        if node.room == WIDE {
            let kid = self.plant();
            self.directories.get_mut(node.kids).set(key, kid);
            return kid;
        }
        if usize::from(node.keys_len) == MOST_KEYS {
            self.widen(at);
            return self.add_kid(at, key);
        }
        self.add_neighbour(at, key)
    }

    fn add_neighbour(&mut self, at: u32, key: u8) -> u32 {
        let mut node = *self.nodes.get(at);
        let old = node.kids;
        let len = u32::from(node.keys_len);
        let position = node.keys().partition_point(|k| *k < key);
        let room = size_for(len as usize + 1);
        let moves = len == 0 || room > node.room;
        if moves {
            node.kids = self.nodes.take(room);
        }
        for i in (0..len).rev() {
            let to = node.kids + i + u32::from(i as usize >= position);
            if to != old + i {
                *self.nodes.get_mut(to) = *self.nodes.get(old + i);
            }
        }
        if moves && len > 0 {
            self.nodes.free(old, node.room);
        }
        if moves {
            node.room = room;
        }
        node.keys.copy_within(position..len as usize, position + 1);
        node.keys[position] = key;
        node.keys_len += 1;
        *self.nodes.get_mut(at) = node;
        let kid = node.kids + position as u32;
        *self.nodes.get_mut(kid) = Node::default();
        kid
    }

    /// Puts a directory before the children of a node.
    fn widen(&mut self, at: u32) {
        let mut node = *self.nodes.get(at);
        let mut directory = Directory::default();
        for (i, key) in (0..).zip(node.keys()) {
            let kid = *self.nodes.get(node.kids + i);
            directory.set(*key, self.nodes.put(kid));
        }
        self.nodes.free(node.kids, node.room);
        node.kids = self.directories.put(directory);
        node.room = WIDE;
        node.keys_len = 0;
        *self.nodes.get_mut(at) = node;
    }

    /// Gives a node its list, and tells it what is first there.
    fn set_list(&mut self, at: u32, list: u32) {
        let first = self.first_of(list);
        let node = self.nodes.get_mut(at);
        node.list = list;
        node.set_first(first);
    }
}

/// Removing. The way back up forgets what is empty and joins what need not be apart.
impl Trees {
    /// Takes away an entry like this one; true if the tree is empty now.
    pub(in crate::router) fn remove(
        &mut self,
        root: u32,
        prefix: &[u8],
        entry: &Entry,
        keys: &Keys,
    ) -> bool {
        let mut trail = vec![root];
        let mut at = root;
        let mut rest = prefix;
        loop {
            let node = self.nodes.get(at);
            let Some(after) = rest.strip_prefix(node.prefix()) else { return false };
            rest = after;
            let Some(&key) = rest.first() else { break };
            let Some(kid) = self.kid(node, key) else { return false };
            trail.push(kid);
            at = kid;
        }
        let list = self.unlink(self.nodes.get(at).list, entry, keys);
        self.set_list(at, list);
        while let Some(at) = trail.pop() {
            let node = *self.nodes.get(at);
            match trail.last() {
                Some(parent) if node.is_vacant() => self.remove_kid(*parent, node.key()),
                _ => self.settle(at),
            }
        }
        self.nodes.get(root).is_vacant()
    }

    fn remove_kid(&mut self, at: u32, key: u8) {
        self.cut_kid(at, key);
        if is_mark(key) {
            let node = self.nodes.get(at);
            let forks = (END..=u8::MAX).any(|mark| self.kid(node, mark).is_some());
            self.nodes.get_mut(at).set_forks(forks);
        }
    }

    fn cut_kid(&mut self, at: u32, key: u8) {
        let mut node = *self.nodes.get(at);
        if node.room == WIDE {
            let directory = self.directories.get_mut(node.kids);
            let kid = directory.set(key, NONE);
            let is_empty = directory.kids().next().is_none();
            self.nodes.free(kid, 0);
            if is_empty {
                self.directories.free(node.kids, 0);
                node.room = 0;
                *self.nodes.get_mut(at) = node;
            }
            return;
        }
        let Some(position) = node.position(key) else { return };
        for i in position + 1..u32::from(node.keys_len) {
            *self.nodes.get_mut(node.kids + i - 1) = *self.nodes.get(node.kids + i);
        }
        node.keys.copy_within(position as usize + 1.., position as usize);
        node.keys_len -= 1;
        if node.keys_len == 0 {
            self.nodes.free(node.kids, node.room);
            node.room = 0;
        }
        *self.nodes.get_mut(at) = node;
    }

    /// Makes a node true again after something in its list or below it went.
    fn settle(&mut self, at: u32) {
        self.join(at);
        let mut node = *self.nodes.get(at);
        node.best = self.kids(&node).map(|kid| self.nodes.get(kid).best).fold(node.first, u64::max);
        *self.nodes.get_mut(at) = node;
    }

    /// Takes an only child into its parent if there is nothing else to it.
    fn join(&mut self, at: u32) {
        let node = *self.nodes.get(at);
        if node.list != NONE || node.room == WIDE || node.keys_len != 1 {
            return;
        }
        let mut kid = *self.nodes.get(node.kids);
        if is_mark(kid.key()) && !is_mark(node.key()) {
            return;
        }
        let prefix = [node.prefix(), kid.prefix()].concat();
        if prefix.len() <= MOST_PREFIX {
            kid.set_prefix(&prefix);
            *self.nodes.get_mut(at) = kid;
            self.nodes.free(node.kids, node.room);
        }
    }

    fn kids(&self, node: &Node) -> impl Iterator<Item = u32> {
        let wide = (node.room == WIDE).then(|| self.directories.get(node.kids).kids());
        let near = if node.room == WIDE { 0 } else { u32::from(node.keys_len) };
        let first = if near == 0 { 0 } else { node.kids };
        wide.into_iter().flatten().chain(first..first + near)
    }
}

/// As much of a path as one node holds, which has no marks unless it starts with one.
fn head_of(path: &[u8]) -> &[u8] {
    let may_have_marks = path.first().is_some_and(|first| is_mark(*first));
    let bytes = path.iter().take(MOST_PREFIX);
    let end = bytes.take_while(|byte| may_have_marks || !is_mark(**byte)).count();
    path.get(..end).unwrap_or_default()
}
