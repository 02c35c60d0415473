//! A message head as received, and what was changed since.
//!
//! A [`Head`] is one buffer and spans into it: fields keep their order and
//! spelling, well-known names are found in O(1), and every change is applied and
//! remembered as an [`Edit`], so a lane that holds its own copy of the head can
//! repeat it. Whatever is set, the result stays one well-formed head. It knows no
//! lane and no socket; [`crate::door::head`] parses one.

mod fields;
mod known;

pub(crate) use fields::{Fields, Span, is_field_value, is_token};
pub use known::Known;

use bytes::BytesMut;
use fields::Spelled;
use smallvec::SmallVec;

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// As it stands in an HTTP/1 start line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2.0",
        }
    }
}

/// What a request line says.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine {
    pub(crate) method: Span,
    /// As received: absolute-form included.
    pub(crate) raw_target: Span,
    pub(crate) target: Span,
    pub(crate) version: Version,
}

/// What a status line says.
#[derive(Clone, Copy, Debug)]
pub struct StatusLine {
    version: Version,
    status: u16,
    reason: Span,
}

/// A name to look for or to write: a [`Known`] one, or any text.
pub trait FieldName {
    /// The known name this is, if it is one.
    fn known(&self) -> Option<Known>;
    /// The name as it should be spelled.
    fn text(&self) -> &[u8];
}

impl FieldName for Known {
    fn known(&self) -> Option<Known> {
        Some(*self)
    }
    fn text(&self) -> &[u8] {
        self.as_str().as_bytes()
    }
}

impl FieldName for &str {
    fn known(&self) -> Option<Known> {
        Known::of(self.as_bytes())
    }
    fn text(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl FieldName for &[u8] {
    fn known(&self) -> Option<Known> {
        Known::of(self)
    }
    fn text(&self) -> &[u8] {
        self
    }
}

/// A field's name in a head. Compares as HTTP does: without regard to case.
#[derive(Clone, Copy)]
pub struct Name<'a> {
    known: Option<Known>,
    text: &'a [u8],
}

impl<'a> Name<'a> {
    /// The known name this is, if it is one.
    pub fn known(&self) -> Option<Known> {
        self.known
    }

    /// As it was spelled.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.text
    }

    /// As it was spelled. Names are tokens, so this is all of it.
    pub fn as_str(&self) -> &'a str {
        std::str::from_utf8(self.text).unwrap_or_default()
    }
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Name<'_>) -> bool {
        self.text.eq_ignore_ascii_case(other.text)
    }
}

impl std::fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.text.escape_ascii())
    }
}

/// One change, in the order it was made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Edit<'a> {
    /// The field has this value and no other; it keeps the place of the first it replaces.
    Set(Name<'a>, &'a [u8]),
    /// One more field, at the end.
    Add(Name<'a>, &'a [u8]),
    /// Every field of that name is gone.
    Remove(Name<'a>),
}

#[derive(Clone, Copy, Debug)]
struct Change {
    kind: Kind,
    name: Spelled,
    value: Span,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Set,
    Add,
    Remove,
}

/// A request's head or, as `Head<StatusLine>`, a response's.
#[derive(Debug)]
pub struct Head<L = RequestLine> {
    /// What was received, then whatever edits added. When the read buffer held
    /// only this head, its spare room makes edits free of allocation.
    text: BytesMut,
    wire: usize,
    line: L,
    fields: Fields,
    edits: SmallVec<[Change; 16]>,
}

/// A response's head.
pub type ResponseHead = Head<StatusLine>;

impl Head<RequestLine> {
    /// A request whose parts are known already, such as one that came by HTTP/2.
    /// Field names should be lower case and values free of control characters,
    /// as an HTTP/2 decoder leaves them.
    pub fn request<'a>(
        method: &[u8],
        target: &[u8],
        version: Version,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Head {
        let mut text = BytesMut::with_capacity(1024);
        let method = append(&mut text, method);
        let target = append(&mut text, target);
        let line = RequestLine { method, raw_target: target, target, version };
        Head::collected(text, line, fields)
    }

    /// What the door's parser found in `text`, which ends where the head ends.
    pub(crate) fn parsed(text: BytesMut, line: RequestLine, fields: Fields) -> Head {
        let wire = text.len();
        Head { text, wire, line, fields, edits: SmallVec::new() }
    }

    /// The method, verbatim.
    pub fn method(&self) -> &[u8] {
        self.line.method.of(&self.text)
    }

    /// Path and query in origin-form: what routes are matched against and, once
    /// rewritten by [`Head::set_target`], what goes upstream.
    pub fn target(&self) -> &[u8] {
        self.line.target.of(&self.text)
    }

    /// The request target as received, whatever its form.
    pub fn raw_target(&self) -> &[u8] {
        self.line.raw_target.of(&self.text)
    }

    /// The version the client speaks.
    pub fn version(&self) -> Version {
        self.line.version
    }

    /// Whether its body is of gRPC, by its own word.
    pub fn names_grpc(&self) -> bool {
        let media = self.get(Known::ContentType);
        media.is_some_and(|media| media.starts_with(b"application/grpc"))
    }

    /// Whether it is a request of gRPC, which there is over HTTP/2 only.
    pub fn is_grpc(&self) -> bool {
        self.version() == Version::Http2 && self.names_grpc()
    }

    /// Replaces path and query. Bytes that would end the request line early, white
    /// space and control characters, are percent-encoded.
    pub fn set_target(&mut self, target: &[u8]) {
        let from = self.text.len();
        for &byte in target {
            if byte <= b' ' || byte == 0x7f {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                let digit = |nibble: u8| HEX[usize::from(nibble & 0x0f)];
                self.text.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte)]);
            } else {
                self.text.extend_from_slice(&[byte]);
            }
        }
        self.line.target = Span::new(from, self.text.len());
    }
}

impl StatusLine {
    /// What a status line says; `reason` is a place in the head's text.
    pub(crate) fn new(version: Version, status: u16, reason: Span) -> StatusLine {
        StatusLine { version, status, reason }
    }
}

impl Head<StatusLine> {
    /// A response head that was read in place: `text` holds it, and values are free of control
    /// characters.
    pub(crate) fn received(text: BytesMut, line: StatusLine, fields: Fields) -> ResponseHead {
        let wire = text.len();
        Head { text, wire, line, fields, edits: SmallVec::new() }
    }

    /// Has it be of another version, as whoever sends it on will write it.
    pub(crate) fn speak(&mut self, version: Version) {
        self.line.version = version;
    }

    /// A response head from the parts a lane has decoded.
    pub fn response<'a>(
        version: Version,
        status: u16,
        reason: &[u8],
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> ResponseHead {
        let mut text = BytesMut::with_capacity(1024);
        let reason = append_clean(&mut text, reason);
        Head::collected(text, StatusLine { version, status, reason }, fields)
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.line.status
    }

    /// The reason phrase; often empty.
    pub fn reason(&self) -> &[u8] {
        self.line.reason.of(&self.text)
    }

    /// The version the upstream spoke.
    pub fn version(&self) -> Version {
        self.line.version
    }
}

impl<L> Head<L> {
    fn collected<'a>(
        mut text: BytesMut,
        line: L,
        pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Head<L> {
        let mut fields = Fields::new();
        for (name, value) in pairs {
            let known = Known::of(name);
            let name = append(&mut text, name);
            let value = append_clean(&mut text, value);
            fields.push(known, name, value);
        }
        let wire = 0; // nothing here came as HTTP/1
        Head { text, wire, line, fields, edits: SmallVec::new() }
    }

    /// The head exactly as it came over an HTTP/1 connection; empty if it did not.
    pub fn wire(&self) -> &[u8] {
        self.text.get(..self.wire).unwrap_or_default()
    }

    /// The first value of a well-known field.
    #[inline]
    pub fn get(&self, known: Known) -> Option<&[u8]> {
        self.fields.first(known).map(|field| field.value.of(&self.text))
    }

    /// Every value of a well-known field, in order of arrival.
    pub fn get_all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        let first = self.fields.first.get(known as usize).copied().unwrap_or(Fields::NONE);
        let rest = self.fields.list.get(usize::from(first)..).unwrap_or_default();
        rest.iter()
            .filter(move |field| field.live && field.name.known == Some(known))
            .map(|field| field.value.of(&self.text))
    }

    /// The first value of a field by any name.
    pub fn get_named(&self, name: &str) -> Option<&[u8]> {
        match Known::of(name.as_bytes()) {
            Some(known) => self.get(known),
            None => self.iter().find(|(found, _)| found.is(name)).map(|(_, value)| value),
        }
    }

    /// Every value of a field by any name, in order of arrival.
    pub fn get_all_named<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        self.iter().filter(move |(found, _)| found.is(name)).map(|(_, value)| value)
    }

    /// Every field, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Name<'_>, &[u8])> {
        let live = self.fields.list.iter().filter(|field| field.live);
        live.map(|field| (self.name(&field.name), field.value.of(&self.text)))
    }

    /// Gives the field this value and no other. The first field of that name keeps
    /// its place, the others go; without one it is added at the end. Control
    /// characters in `value` become spaces; a `name` that is not a token changes
    /// nothing, so no edit can write a second field or end the head.
    pub fn set(&mut self, name: impl FieldName, value: &[u8]) {
        let found = self.matching(&name);
        let Some((name, value)) = self.append_field(&name, value) else { return };
        for &index in found.iter().skip(1) {
            self.bury(index);
        }
        let kind = match found.first().and_then(|&index| self.fields.list.get_mut(index)) {
            Some(field) => {
                (field.name, field.value) = (name, value);
                Kind::Set
            }
            // Whoever repeats it need not look for what was not there.
            None => {
                self.fields.push(name.known, name.span, value);
                Kind::Add
            }
        };
        self.edits.push(Change { kind, name, value });
    }

    /// Adds one more field at the end, whatever others of that name say. Names and
    /// values are treated as by [`Head::set`].
    pub fn add(&mut self, name: impl FieldName, value: &[u8]) {
        let Some((name, value)) = self.append_field(&name, value) else { return };
        self.fields.push(name.known, name.span, value);
        self.edits.push(Change { kind: Kind::Add, name, value });
    }

    /// Removes every field of that name. Nothing is recorded if there was none.
    pub fn remove(&mut self, name: impl FieldName) {
        let found = self.matching(&name);
        if found.is_empty() {
            return;
        }
        let Some(name) = self.append_name(&name) else { return };
        for index in found {
            self.bury(index);
        }
        if let Some(first) = name.known.and_then(|known| self.fields.first.get_mut(known as usize))
        {
            *first = Fields::NONE;
        }
        self.edits.push(Change { kind: Kind::Remove, name, value: Span::default() });
    }

    /// What was changed since the head arrived, in order. The target and the
    /// status line are not among them.
    pub fn edits(&self) -> impl Iterator<Item = Edit<'_>> {
        self.edits.iter().map(|change| {
            let name = self.name(&change.name);
            match change.kind {
                Kind::Set => Edit::Set(name, change.value.of(&self.text)),
                Kind::Add => Edit::Add(name, change.value.of(&self.text)),
                Kind::Remove => Edit::Remove(name),
            }
        })
    }

    fn name(&self, spelled: &Spelled) -> Name<'_> {
        let text = match spelled.known {
            Some(known) if spelled.span.len == 0 => known.as_str().as_bytes(),
            _ => spelled.span.of(&self.text),
        };
        Name { known: spelled.known, text }
    }

    /// Where the live fields of that name are.
    fn matching(&self, name: &impl FieldName) -> SmallVec<[usize; 4]> {
        let known = name.known();
        if known.is_some_and(|known| self.fields.first(known).is_none()) {
            return SmallVec::new();
        }
        let wanted = Name { known, text: name.text() };
        let fields = self.fields.list.iter().enumerate().filter(|(_, field)| field.live);
        let same = fields.filter(|(_, field)| match (field.name.known, known) {
            (None, None) => self.name(&field.name) == wanted,
            (one, other) => one == other,
        });
        same.map(|(index, _)| index).collect()
    }

    fn bury(&mut self, index: usize) {
        if let Some(field) = self.fields.list.get_mut(index) {
            field.live = false;
        }
    }

    fn append_field(&mut self, name: &impl FieldName, value: &[u8]) -> Option<(Spelled, Span)> {
        let name = self.append_name(name)?;
        Some((name, append_clean(&mut self.text, value)))
    }

    fn append_name(&mut self, name: &impl FieldName) -> Option<Spelled> {
        let (known, text) = (name.known(), name.text());
        if known.is_some_and(|known| known.as_str().as_bytes() == text) {
            return Some(Spelled { known, span: Span::default() });
        }
        is_token(text).then(|| Spelled { known, span: append(&mut self.text, text) })
    }
}

impl Name<'_> {
    fn is(&self, name: &str) -> bool {
        self.text.eq_ignore_ascii_case(name.as_bytes())
    }
}

fn append(text: &mut BytesMut, bytes: &[u8]) -> Span {
    let from = text.len();
    text.extend_from_slice(bytes);
    Span::new(from, text.len())
}

/// Appends a value, control characters turned into spaces.
fn append_clean(text: &mut BytesMut, bytes: &[u8]) -> Span {
    let span = append(text, bytes);
    if !is_field_value(bytes) {
        let added = text.get_mut(span.at as usize..).unwrap_or_default();
        for byte in added.iter_mut().filter(|byte| !is_field_value(&[**byte])) {
            *byte = b' ';
        }
    }
    span
}

#[cfg(test)]
mod tests;
