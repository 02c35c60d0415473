//! What is different between what two engines did, the things aside that may be.
//!
//! These are: when it was and how long it took, the id of a request, the order of fields of
//! different names (Pingora groups fields by name), how a body is cut into chunks.

use super::client::Got;
use super::said::{Body, Ending, Request, Step, Stream};
use super::twins::MOST_BODY;
use super::wire::{Framing, Message};
use std::fmt::Write as _;

/// What is different because no two may listen at one port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) gateway: u16,
    pub(crate) origin: u16,
}

/// A message as it is compared.
#[derive(Debug, PartialEq)]
pub(crate) struct Shown {
    head: String,
    body: Vec<u8>,
}

impl Shown {
    pub(crate) fn of(message: &Message, ports: Ports) -> Shown {
        let mut fields: Vec<_> = message.fields.iter().collect();
        fields.sort_by_cached_key(|(name, _)| name.to_ascii_lowercase());
        let mut head = format!("{}\n", message.line.escape_ascii());
        for (name, value) in fields {
            let name = name.escape_ascii().to_string();
            let value = masked(&name, value.escape_ascii().to_string(), ports);
            writeln!(head, "  {name}: {value}").unwrap();
        }
        let framing = message.framing;
        let whole = if message.whole { "whole" } else { "cut short" };
        writeln!(head, "  ({framing:?}, {whole})").unwrap();
        if !message.trailers.is_empty() {
            writeln!(head, "  trailers {}", message.trailers.escape_ascii()).unwrap();
        }
        Shown { head, body: without_id(message) }
    }

    fn print(&self) -> String {
        let length = self.body.len();
        let some = self.body.get(..length.min(200)).unwrap_or_default();
        format!("{}  {length} bytes: {}\n", self.head, some.escape_ascii())
    }
}

/// Answers and requests without those of which HTTP leaves open whether they are:
///
/// - `100 Continue` to who does not wait for it (RFC 9110 §10.1.1);
/// - what an origin sees of a request that breaks off, or of which that is only found in its body;
/// - whether the connection goes on after an answer that comes before all of the request has: it
///   depends on how much was on its way (RFC 9112 §9.3);
/// - how much of an answer is passed on that is reset or found wrong in its midst;
/// - which is first, an answer that comes early or what is wrong with its request's body;
/// - what a client is told that is gone, and whether an origin is still asked for it; who asks for
///   another protocol and stops before it is spoken is.
pub(crate) fn comparable(
    stream: &Stream,
    got: Got,
    asked: Vec<(usize, Message)>,
) -> (Vec<Message>, Vec<Message>) {
    let last = stream.requests.len() - 1;
    let is_cut = |number: usize| number == last && stream.ending != Ending::Whole;
    let hastes =
        |number: usize| is_cut(number) || stream.requests.get(number).is_some_and(Request::hastes);
    let gone = |number: usize| match stream.ending {
        Ending::Whole => false,
        Ending::Stops(_) => {
            number >= last && (answered_early(stream) || stops_before_the_switch(stream))
        }
        Ending::Resets(_) => number >= last,
    };
    let mut answers = got.answers;
    answers.retain(|(number, answer)| {
        let is_asked_more = *number > last && answered_early(stream);
        let request = stream.requests.get(*number);
        let races = request.is_some_and(|asked| asked.act.early && asked.may_break(MOST_BODY));
        let is_either = gone(*number) || is_asked_more || races && answer.status() != 100;
        !(is_either || answer.status() == 100 && hastes(*number))
    });
    for (number, answer) in &mut answers {
        if *number == last && answered_early(stream) {
            answer.fields.retain(|(name, _)| !name.eq_ignore_ascii_case(b"Connection"));
        }
        let request = stream.requests.get(*number);
        let breaks_off = request.is_some_and(|asked| asked.act.breaks_off());
        if breaks_off && (!answer.whole || answer.framing == Framing::End) {
            answer.body.clear();
        }
    }
    let mut asked = asked;
    asked.retain(|(number, asked)| {
        let Some(request) = stream.requests.get(*number) else { return true };
        let is_broken = is_cut(*number) || request.may_break(MOST_BODY);
        let is_other = matches!(request.body, Body::Other { .. });
        let may_be_unheard = is_cut(*number) && is_other || is_broken && request.act.early;
        !may_be_unheard && (asked.whole || !is_broken)
    });
    asked.dedup();
    let without_number = |messages: Vec<(usize, Message)>| {
        messages.into_iter().map(|(_, message)| message).collect()
    };
    (without_number(answers), without_number(asked))
}

/// Whether the last request is answered before all of it has come.
pub(crate) fn answered_early(stream: &Stream) -> bool {
    stream.requests.last().is_some_and(|request| request.act.early)
}

/// Whether the last request asks for another protocol, and its client stops before that is spoken.
fn stops_before_the_switch(stream: &Stream) -> bool {
    let is_other = |request: &Request| matches!(request.body, Body::Other { .. });
    let speaks = |step: Step| matches!(step, Step::AwaitOther(_));
    stream.requests.last().is_some_and(is_other) && !stream.steps("", 0).into_iter().any(speaks)
}

fn masked(name: &str, value: String, ports: Ports) -> String {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    match name.to_ascii_lowercase().as_str() {
        "x-kong-proxy-latency" | "x-kong-upstream-latency" | "x-kong-response-latency"
            if is_number =>
        {
            "(some)".to_owned()
        }
        "x-kong-request-id" if is_id(&value) => "(some)".to_owned(),
        "date" if value.contains(" 20") => "(now)".to_owned(),
        "host" => value.replace(&format!(":{}", ports.origin), ":(port)"),
        "x-forwarded-port" if value == ports.gateway.to_string() => "(port)".to_owned(),
        _ => value,
    }
}

fn is_id(value: &str) -> bool {
    value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The body, in which errors of the gateway's own repeat the id that the head has.
fn without_id(message: &Message) -> Vec<u8> {
    let Some(id) = message.all("X-Kong-Request-Id").next() else { return message.body.clone() };
    let Ok(text) = std::str::from_utf8(&message.body) else { return message.body.clone() };
    text.replace(&String::from_utf8_lossy(id).into_owned(), "(id)").into_bytes()
}

/// What is told of the first difference.
pub(crate) fn difference(what: &str, first: &[Shown], second: &[Shown]) -> Option<String> {
    let at = (0..first.len().max(second.len())).find(|&at| first.get(at) != second.get(at))?;
    let print = |shown: Option<&Shown>| shown.map_or("nothing\n".to_owned(), Shown::print);
    let (one, other) = (print(first.get(at)), print(second.get(at)));
    Some(format!("{what} {at}, on: {one}{what} {at}, off: {other}"))
}
