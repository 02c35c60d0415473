//! What waits to be written to one destination, bounded in bytes.
//!
//! Whoever logs puts lines in; the thread of the destination takes them out by the batch. A line
//! belongs to the queue until it is settled, as written or as lost: so that all a destination has is
//! counted when it is given up.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};

use super::sink::Losses;

/// Bytes that may wait for one destination. Some ten thousand usual lines.
pub(super) const BYTES: usize = 4 * 1024 * 1024;

/// Bytes that are written at once, unless a single line has more.
const BATCH: usize = 16 * 1024;

/// Lines and orders on their way to one destination.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// There is something to take, or there never will be again.
    news: Condvar,
    /// There is room for a line again.
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Message>,
    /// What the waiting lines take.
    bytes: usize,
    /// Whose lines were taken and are not settled yet, in order.
    in_hand: Vec<Arc<Losses>>,
    closed: bool,
}

#[derive(Debug)]
enum Message {
    Line(Line),
    Reopen,
    Flush(Sender<()>),
}

/// One line, its end excluded, and who counts it if it is lost.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) losses: Arc<Losses>,
}

/// What the destination's thread is to do.
#[derive(Debug)]
pub(super) enum Next {
    /// Write these, then [`Queue::settle`].
    Lines(Vec<String>),
    /// Open the file anew.
    Reopen,
    /// Say so when this is reached.
    Flush(Sender<()>),
    /// Nothing came.
    Nothing,
    /// Nothing will come.
    End,
}

impl Queue {
    /// Takes the line, or counts it as lost if there is no room. Never waits.
    pub(super) fn offer(&self, line: Line) {
        let mut state = self.state();
        if state.closed || state.is_full() {
            return line.losses.count(1);
        }
        state.put(line);
        self.news.notify_one();
    }

    /// Takes the line, then waits until there is room for another: none is ever in nobody's hands.
    pub(super) fn put(&self, line: Line) {
        let mut state = self.state();
        if state.closed {
            return line.losses.count(1);
        }
        state.put(line);
        self.news.notify_one();
        let full = |state: &mut State| state.is_full() && !state.closed;
        let _state = self.room.wait_while(state, full).unwrap_or_else(PoisonError::into_inner);
    }

    /// Has the file opened anew once everything queued so far is written.
    pub(super) fn reopen(&self) {
        self.order(Message::Reopen);
    }

    /// Tells when everything queued so far is settled; hangs up if that will never be.
    pub(super) fn flush(&self) -> Receiver<()> {
        let (done, wait) = bounded(1);
        self.order(Message::Flush(done));
        wait
    }

    /// Takes no more. What is queued is still written.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.news.notify_one();
        self.room.notify_all();
    }

    /// Takes no more, and counts as lost what is not settled; of a batch that is being written, that
    /// may be more than is lost in the end.
    pub(super) fn give_up(&self) {
        let mut state = self.state();
        state.closed = true;
        state.bytes = 0;
        mem::take(&mut state.in_hand).iter().for_each(|losses| losses.count(1));
        for message in mem::take(&mut state.waiting) {
            if let Message::Line(line) = message {
                line.losses.count(1);
            }
        }
        self.news.notify_one();
        self.room.notify_all();
    }

    /// What is next, waited for so long.
    pub(super) fn take(&self, patience: Duration) -> Next {
        let idle = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let state = self.news.wait_timeout_while(self.state(), patience, idle);
        let (mut state, _) = state.unwrap_or_else(PoisonError::into_inner);
        match state.waiting.pop_front() {
            Some(Message::Line(first)) => {
                let lines = state.batch(first);
                self.room.notify_all();
                Next::Lines(lines)
            }
            Some(Message::Reopen) => Next::Reopen,
            Some(Message::Flush(done)) => Next::Flush(done),
            None if state.closed => Next::End,
            None => Next::Nothing,
        }
    }

    /// So many of the lines taken last were written, the first ones; the others are lost.
    pub(super) fn settle(&self, written: usize) {
        let in_hand = mem::take(&mut self.state().in_hand);
        in_hand.iter().skip(written).for_each(|losses| losses.count(1));
    }

    fn order(&self, message: Message) {
        let mut state = self.state();
        if !state.closed {
            state.waiting.push_back(message);
            self.news.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_full(&self) -> bool {
        self.bytes >= BYTES
    }

    fn put(&mut self, line: Line) {
        self.bytes += line.bytes();
        self.waiting.push_back(Message::Line(line));
    }

    /// This line and those behind it, up to an order.
    fn batch(&mut self, first: Line) -> Vec<String> {
        let (mut lines, mut bytes, mut next) = (Vec::new(), 0, Some(first));
        while let Some(line) = next {
            self.bytes -= line.bytes();
            bytes += line.text.len();
            self.in_hand.push(line.losses);
            lines.push(line.text);
            next = if bytes < BATCH { self.next_line() } else { None };
        }
        lines
    }

    fn next_line(&mut self) -> Option<Line> {
        match self.waiting.pop_front_if(|message| matches!(message, Message::Line(_))) {
            Some(Message::Line(line)) => Some(line),
            _ => None,
        }
    }
}

impl Line {
    /// How much memory it takes.
    fn bytes(&self) -> usize {
        size_of::<Message>() + self.text.capacity()
    }
}
