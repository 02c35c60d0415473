//! The fields of requests and streams, by name and by type.

use super::Traffic;
use super::mistake::Problem;

/// A field, by the type of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Text(TextField),
    Number(NumberField),
    Address(AddressField),
}

/// What a field's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Strings.
    Text,
    /// Whole numbers.
    Number,
    /// IP addresses.
    Address,
}

/// A field of strings. All but headers and queries have one value at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TextField {
    Protocol,
    Sni,
    Method,
    Host,
    Path,
    /// Segments of the path from one to another, both counted from zero.
    Segments(usize, usize),
    /// In lower case, with `_` for `-`.
    Header(Box<str>),
    /// Case counts.
    Query(Box<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberField {
    SourcePort,
    DestinationPort,
    SegmentCount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressField {
    Source,
    Destination,
}

impl Field {
    /// The field of this name.
    pub(super) fn named(name: &str, traffic: Traffic) -> Result<Field, Problem> {
        let http = || match traffic {
            Traffic::Http => http_field(name),
            Traffic::Stream => Ok(None),
        };
        let field = match common_field(name) {
            Some(field) => Some(field),
            None => http()?,
        };
        field.ok_or_else(|| Problem::Field { name: name.to_owned(), traffic })
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Field::Text(_) => Kind::Text,
            Field::Number(_) => Kind::Number,
            Field::Address(_) => Kind::Address,
        }
    }
}

fn common_field(name: &str) -> Option<Field> {
    Some(match name {
        "net.protocol" => Field::Text(TextField::Protocol),
        "tls.sni" => Field::Text(TextField::Sni),
        "net.src.port" => Field::Number(NumberField::SourcePort),
        "net.dst.port" => Field::Number(NumberField::DestinationPort),
        "net.src.ip" => Field::Address(AddressField::Source),
        "net.dst.ip" => Field::Address(AddressField::Destination),
        _ => return None,
    })
}

fn http_field(name: &str) -> Result<Option<Field>, Problem> {
    // A name with a dot in it cannot be written: the dot would start another level.
    let of = |group: &str| name.strip_prefix(group).filter(|name| !name.contains('.'));
    Ok(Some(match name {
        "http.method" => Field::Text(TextField::Method),
        "http.host" => Field::Text(TextField::Host),
        "http.path" => Field::Text(TextField::Path),
        "http.path.segments.len" => Field::Number(NumberField::SegmentCount),
        _ => {
            if let Some(segments) = of("http.path.segments.") {
                return segments_field(name, segments);
            } else if let Some(header) = of("http.headers.") {
                Field::Text(TextField::Header(header.to_ascii_lowercase().into()))
            } else if let Some(query) = of("http.queries.") {
                Field::Text(TextField::Query(query.into()))
            } else {
                return Ok(None);
            }
        }
    }))
}

/// `3`, or `1_3` for those from one to the other.
fn segments_field(name: &str, segments: &str) -> Result<Option<Field>, Problem> {
    let (first, last) = match segments.split_once('_') {
        Some((first, last)) if last != "0" => (index(first), index(last)),
        Some(_) => (None, None),
        None => (index(segments), index(segments)),
    };
    let (Some(first), Some(last)) = (first, last) else { return Ok(None) };
    if segments.contains('_') && first >= last {
        return Err(Problem::Segments(name.to_owned()));
    }
    Ok(Some(Field::Text(TextField::Segments(first, last))))
}

/// A number without leading zeros. No path has as many segments as one that is too
/// large, so the largest stands for it.
fn index(digits: &str) -> Option<usize> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_plain = digits == "0" || !digits.starts_with('0');
    (is_number && is_plain).then(|| digits.parse().unwrap_or(usize::MAX))
}
