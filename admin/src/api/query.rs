//! What follows the question mark: paging, tags and options.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::call::Call;
use super::problem::Problem;

/// More arguments than this are an attack or a mistake.
pub(super) const ARGUMENTS: usize = 1000;

const SIZE: usize = 100;
const TAGS: usize = 5;

/// What stays as it is in a query value (RFC 3986 §2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The arguments, in order.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    size: usize,
    /// The id it goes on after.
    pub(super) after: Option<Uuid>,
}

/// The same of a list that goes on behind something else than an id.
#[derive(Debug)]
pub(super) struct PageAfter<T> {
    size: usize,
    pub(super) after: Option<T>,
}

/// The same of a list that goes on at a place, counted from 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    size: usize,
    from: usize,
}

/// Which entities are wanted.
#[derive(Debug, PartialEq)]
pub(super) enum Tags {
    /// Those with every one of these.
    All(Vec<String>),
    /// Those with any of these.
    Any(Vec<String>),
}

/// A page, and where its list is.
pub(super) struct Listing {
    size: usize,
    path: String,
    /// What the address of the next page repeats.
    repeated: String,
}

/// A page of a list, as clients see it. `offset` is there only if another page is.
#[derive(Debug, Serialize)]
pub(super) struct Shown<T> {
    data: Vec<T>,
    next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<String>,
}

impl Query {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let pairs: Vec<_> =
            form_urlencoded::parse(text.as_bytes()).into_owned().take(ARGUMENTS + 1).collect();
        if pairs.len() > ARGUMENTS {
            return Err(Problem::Malformed("Too many arguments"));
        }
        Ok(Self(pairs))
    }

    /// The last argument of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// `size` and `offset`.
    pub(super) fn page(&self) -> Result<Page, Problem> {
        let size = self.get("size").map(size).transpose()?.unwrap_or(SIZE);
        let after = self.get("offset").map(offset).transpose()?;
        Ok(Page { size, after })
    }

    /// `size` and `offset`, of a list whose offsets are what `T` is as JSON.
    pub(super) fn page_after<T: DeserializeOwned>(&self) -> Result<PageAfter<T>, Problem> {
        let size = self.get("size").map(size).transpose()?.unwrap_or(SIZE);
        let after = self.get("offset").map(decoded).transpose()?;
        Ok(PageAfter { size, after })
    }

    /// `size` and `offset`, of a list whose offsets are numbers.
    pub(super) fn places(&self) -> Result<Places, Problem> {
        let size = self.get("size").map(size).transpose()?.unwrap_or(SIZE);
        let from = self.get("offset").map(|text| {
            let why = "bad content";
            text.parse().map_err(|_| Problem::Offset { given: text.to_owned(), why })
        });
        Ok(Places { size, from: from.transpose()?.unwrap_or(0) })
    }

    /// `tags`: `a,b` for both, `a/b` for either.
    pub(super) fn tags(&self) -> Result<Option<Tags>, Problem> {
        self.get("tags").map(tags).transpose()
    }
}

impl Page {
    /// How many of the list decide what the page shows: its own, and one to tell that there is another.
    pub(super) fn wanted(&self) -> usize {
        self.size + 1
    }

    /// A page of the list at this path. Its `next` repeats these arguments, where they were given.
    pub(super) fn within(self, path: &str, repeat: &[&str], query: &Query) -> Listing {
        let argument = |name: &&str| {
            let value = query.get(name)?;
            Some(format!("&{name}={}", utf8_percent_encode(value, ESCAPED)))
        };
        let repeated = repeat.iter().filter_map(argument).collect();
        Listing { size: self.size, path: path.to_owned(), repeated }
    }
}

impl<T: Serialize> PageAfter<T> {
    /// How many of the list decide what the page shows.
    pub(super) fn wanted(&self) -> usize {
        self.size + 1
    }

    /// As much of `rest`, which comes behind `after`, as the page holds.
    pub(super) fn of<E>(self, call: &Call, rest: Vec<E>, after: impl Fn(&E) -> T) -> Shown<E> {
        let repeat = call.query.get("size").map(|size| format!("&size={size}")).unwrap_or_default();
        let listing = Listing { size: self.size, path: call.path.clone(), repeated: repeat };
        listing.page(rest.into_iter(), |last| encoded(&after(last)))
    }
}

impl Places {
    /// As much of the list from its place on as the page holds.
    pub(super) fn of<T>(self, path: &str, all: Vec<T>) -> Shown<T> {
        let next = self.from.saturating_add(self.size);
        let listing = Listing { size: self.size, path: path.to_owned(), repeated: String::new() };
        listing.page(all.into_iter().skip(self.from), |_| next.to_string())
    }
}

impl Listing {
    /// Takes as much of `rest`, all that comes after the last page, as the page holds.
    pub(super) fn of<T>(self, rest: impl Iterator<Item = T>, id: impl Fn(&T) -> Uuid) -> Shown<T> {
        self.page(rest, |last| encoded(&[id(last)]))
    }

    fn page<T>(self, rest: impl Iterator<Item = T>, offset: impl Fn(&T) -> String) -> Shown<T> {
        let mut data: Vec<T> = rest.take(self.size + 1).collect(); // `Page::wanted`
        let is_last = data.len() <= self.size;
        data.truncate(self.size);
        let offset = data.last().filter(|_| !is_last).map(offset);
        let next = offset.as_ref().map(|offset| {
            let offset = utf8_percent_encode(offset, ESCAPED);
            format!("{}?offset={offset}{}", self.path, self.repeated)
        });
        Shown { data, next, offset }
    }
}

impl<T> Shown<T> {
    /// The same page, of what these are shown as.
    pub(super) fn map<U>(self, show: impl Fn(T) -> U) -> Shown<U> {
        let Self { data, next, offset } = self;
        Shown { data: data.into_iter().map(show).collect(), next, offset }
    }
}

fn size(text: &str) -> Result<usize, Problem> {
    let number: f64 = text.parse().map_err(|_| Problem::Size("size must be a number"))?;
    if number.fract() == 0.0 && (1.0..=1000.0).contains(&number) {
        Ok(number as usize)
    } else {
        Err(Problem::Size("size must be an integer between 1 and 1000"))
    }
}

fn offset(text: &str) -> Result<Uuid, Problem> {
    decoded(text).map(|[id]: [Uuid; 1]| id)
}

fn decoded<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let wrong = |why| Problem::Offset { given: text.to_owned(), why };
    let key = STANDARD_NO_PAD.decode(text).map_err(|_| wrong("bad base64 encoding"))?;
    serde_json::from_slice(&key).map_err(|_| wrong("bad content"))
}

/// Clients are told not to look inside.
fn encoded(after: &impl Serialize) -> String {
    let json = serde_json::to_string(after).expect("plain values can be written to memory");
    STANDARD_NO_PAD.encode(json)
}

fn tags(text: &str) -> Result<Tags, Problem> {
    let wrong = |why| Problem::Option { name: "tags", why };
    let split = |mark| text.split(mark).map(str::to_owned).collect::<Vec<_>>();
    let (tags, is_any) = match (text.contains(','), text.contains('/')) {
        _ if text.is_empty() => return Err(wrong("cannot be null")),
        (true, true) => return Err(wrong("invalid filter syntax")),
        (_, true) => (split('/'), true),
        _ => (split(','), false),
    };
    if tags.iter().any(|tag| tag.is_empty() || tag.chars().any(char::is_control)) {
        return Err(wrong("invalid filter syntax"));
    }
    if tags.len() > TAGS {
        return Err(wrong("cannot query more than 5 tags"));
    }
    Ok(if is_any { Tags::Any(tags) } else { Tags::All(tags) })
}
