//! `redirect`: answers with where to go instead.

use super::{Access, ConfigError, Hooks, Plugin};
use crate::proxy::access::Flow;
use crate::proxy::exchange::Exchange;
use crate::proxy::path::split_target;
use crate::proxy::reply::Reply;
use model::schema::Record;
use model::value::AbsoluteUrl;
use model::value::path::normal_form;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use url::Url;

/// What the answer says besides.
const BODY: &str = "redirecting";

/// Sends clients elsewhere.
#[derive(Debug)]
pub(crate) struct Redirect {
    status: u16,
    to: Target,
}

/// Where to.
#[derive(Debug)]
enum Target {
    /// There, and nowhere else.
    Fixed(Box<str>),
    /// To the same path there.
    SamePath(Url),
}

/// What `redirect` is told.
#[derive(Clone, Debug, PartialEq, Record)]
pub(crate) struct Config {
    /// The status of the answer.
    #[field(default = 301, between = (100, 599))]
    pub status_code: u16,
    /// Where clients are sent.
    pub location: AbsoluteUrl,
    /// Whether they are sent to the path and query that they asked for, in place of those of `location`.
    #[field(default = false)]
    pub keep_incoming_path: bool,
}

impl Plugin for Redirect {
    const NAME: &'static str = "redirect";
    const PRIORITY: i32 = 779;
    type Config = Config;

    fn new(config: Config) -> Result<Self, ConfigError> {
        let location = config.location.as_str();
        let to = if config.keep_incoming_path {
            Target::SamePath(based_on(location)?)
        } else {
            Target::Fixed(location.into())
        };
        Ok(Redirect { status: config.status_code, to })
    }

    fn hooks(self) -> Hooks {
        Hooks::access(self)
    }
}

/// A URL whose path can be replaced.
fn based_on(location: &str) -> Result<Url, ConfigError> {
    let refuse = |message| ConfigError::Field { field: "config.location", message };
    let url = Url::parse(location).map_err(|error| refuse(format!("invalid url: {error}")))?;
    if url.cannot_be_a_base() {
        return Err(refuse("its path cannot be replaced".to_owned()));
    }
    Ok(url)
}

impl Access for Redirect {
    fn access(&self, exchange: &mut Exchange) -> Flow {
        let location = match &self.to {
            Target::Fixed(location) => location.clone().into_string(),
            Target::SamePath(base) => with_target(base.clone(), exchange.head().target()).into(),
        };
        Flow::Reply(Reply::own(self.status).with("Location", location).saying(BODY))
    }
}

/// The same place at another, for a request with this target.
fn with_target(mut base: Url, target: &[u8]) -> Url {
    let (path, query) = split_target(target);
    base.set_path(&text(&normal_form(path)));
    let query = query.strip_prefix(b"?").map(text);
    base.set_query(query.as_deref().filter(|query| !query.is_empty()));
    base
}

/// Bytes that are no text are escaped; what must be besides, the URL escapes.
fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(percent_encode(chunk.invalid(), NON_ALPHANUMERIC));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_that_was_asked_for_is_asked_for_there() {
        for (location, target, expected) in [
            ("https://b.test", "/a?x=1", "https://b.test/a?x=1"),
            ("https://b.test/there?y=2#part", "/a", "https://b.test/a#part"),
            ("https://b.test:8443/there", "/a/../b//c", "https://b.test:8443/b/c"),
            ("http://b.test", "/a%2Fb?", "http://b.test/a%2Fb"),
            ("http://b.test", "/a b?c d", "http://b.test/a%20b?c%20d"),
            ("http://b.test", "//evil.test/x", "http://b.test/evil.test/x"),
            ("http://b.test", "/\u{e4}", "http://b.test/%C3%A4"),
        ] {
            let base = based_on(location).expect("a base");
            assert_eq!(with_target(base, target.as_bytes()).as_str(), expected, "{target}");
        }
        let base = based_on("http://b.test").expect("a base");
        assert_eq!(with_target(base, b"/\xff").as_str(), "http://b.test/%FF");
    }

    #[test]
    fn what_has_no_path_is_refused_where_one_is_needed() {
        let told = |keep_incoming_path, location: &str| {
            let location = location.parse().expect("a location");
            Redirect::new(Config { status_code: 301, location, keep_incoming_path })
        };
        let error = told(true, "http://a b/").expect_err("no host").to_string();
        assert_eq!(error, "invalid url: invalid international domain name");
        assert!(told(false, "http://a b/").is_ok());
    }
}
